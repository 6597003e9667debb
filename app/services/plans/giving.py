"""What every use case does that gives plans to tenants: rows now, PVE by an operation for each tenant."""

from __future__ import annotations

from app.db import audit, clusters, operations, quota
from app.db.models import Plan, Tenant
from app.db.session import Database, Tx
from app.domain.access import Context
from app.domain.errors import Conflict
from app.domain.operations import Operation
from app.domain.tenants import TenantState
from app.operations import Engine
from app.operations.engine import Submission
from app.policy import plans as policy
from app.sagas import tenant_create, tenant_grant

_BUILDING = (tenant_create.SAGA.type, tenant_grant.SAGA.type)


class Giving:
    """The base of the services that give plans."""

    def __init__(self, db: Database, engine: Engine) -> None:
        self._db = db
        self._engine = engine

    def _give(self, tx: Tx, ctx: Context, tenant: Tenant, plan: Plan) -> Operation:
        """The plan's limits count from now on, in the place of those that the tenant had; its storages and bridges once
        PVE has them. The tenant is locked. Raises as `_grant` does."""
        tenant.plan_id = plan.id
        quota.forget_limits(tx, tenant.id)
        audit.record(tx, ctx, "tenant.plan", tenant=tenant.id, subject=plan.name)
        return self._grant(tx, ctx, tenant, *granted(tx, tenant, plan))

    def _grant(self, tx: Tx, ctx: Context, tenant: Tenant, storages: list[str], bridges: list[str]) -> Operation:
        """Raises Conflict `tenant.not_ready`, and `tenant.busy` while what it is granted is being changed already."""
        if tenant.state == TenantState.DELETING:
            raise Conflict("The tenant is being deleted.", code="tenant.not_ready")
        if tenant.state != TenantState.ACTIVE or operations.open_in(tx, tenant.id, _BUILDING):
            raise Conflict(
                "What the tenant is granted is being changed.", code="tenant.busy",
                remedy="Wait until its operation has ended.",
            )  # fmt: skip
        tx.flush()
        parameters = tenant_grant.Parameters(
            tenant=tenant.id, cluster=tenant.cluster_id, poolid=tenant.poolid, pve_user=tenant.pve_user,
            token_id=tenant.token_id, storages=storages, bridges=bridges, had_storages=tenant.storages,
            had_bridges=tenant.bridges,
        )  # fmt: skip
        to = Submission(tenant=tenant.id, guest=None, queue=tenant_create.QUEUE, lane=tenant.cluster_id)
        return self._engine.submit(tx, ctx, tenant_grant.SAGA, parameters, to)


def granted(tx: Tx, tenant: Tenant, plan: Plan) -> tuple[list[str], list[str]]:
    """The storages and bridges that a tenant has by the plan; those that it has where the plan says nothing. Raises
    Invalid for a plan that names storages, or bridges, and none of the tenant's cluster."""
    there = {storage.name for storage in clusters.storages(tx, tenant.cluster_id)}
    storages = policy.granted_storages(plan, there)
    bridges = policy.granted_bridges(plan, clusters.bridges(tx, tenant.cluster_id))
    return (tenant.storages if storages is None else storages, tenant.bridges if bridges is None else bridges)
