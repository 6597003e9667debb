"""Tenants: their walls are built and taken down by sagas, the rest is rows."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Sequence

import structlog

from app.db import audit, clusters, operations, plans, quota, tenants
from app.db.models import Cluster, Plan, Tenant
from app.db.session import Database, Tx
from app.domain import tenants as domain
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.quota import Dimension
from app.domain.tenants import TenantChanges, TenantSpec, TenantState, canonical_name
from app.operations import Engine
from app.operations.engine import Submission
from app.policy import names, rules
from app.policy import plans as granting
from app.sagas import tenant_create, tenant_delete

#: What a tenant is granted for whom nobody names another one.
_USUAL_BRIDGES = ("vmbr0",)
_TOKEN = "poolhouse"  # noqa: S105 -- the name of a token, not its secret

log = structlog.get_logger(__name__)


class Tenants:
    """`catalog` is the pool of published templates, `vmid_rest` how many seconds a freed vmid rests."""

    def __init__(self, db: Database, engine: Engine, *, realm: str, catalog: str, vmid_rest: int) -> None:
        self._db = db
        self._engine = engine
        self._realm = realm
        self._catalog = catalog
        self._vmid_rest = vmid_rest

    def create(self, ctx: Context, spec: TenantSpec) -> Operation:
        """Reserve the name and let the saga build the walls. What is named beside a plan comes before it.

        Raises Conflict `name.taken`, Invalid for a plan that is not there, and for what the cluster has not.
        """
        rules.require(ctx, Privilege.TENANT_ALLOCATE)
        with self._db.begin() as tx:
            cluster = clusters.named(tx, spec.cluster)
            plan = plans.named(tx, spec.plan) if spec.plan is not None else None
            row = self._new_row(tx, cluster, spec, plan)
            tx.add(row)
            tx.flush()
            quota.set_limits(tx, row.id, {Dimension(name): amount for name, amount in spec.quota.items()})
            audit.record(tx, ctx, "tenant.create", tenant=row.id, subject=row.name)
            parameters = tenant_create.Parameters(
                row.id, row.name, cluster.id, row.poolid, row.pve_user, row.token_id, row.storages, row.bridges,
                self._catalog,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, tenant_create.SAGA, parameters, _to(row))

    def list(self, ctx: Context, request: PageRequest) -> Page[domain.Tenant]:
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            return tenants.page(tx, rules.visible(ctx), request)

    def get(self, ctx: Context, ref: str) -> domain.Tenant:
        with self._db.read() as tx:
            row = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_AUDIT, on=row.id)
            return tenants.views(tx, [row])[0]

    def update(self, ctx: Context, ref: str, changes: TenantChanges) -> domain.Tenant:
        """Suspending is the administrator's; the comment is the owner's too."""
        with self._db.begin() as tx:
            row = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_MODIFY, on=row.id)
            if changes.suspended is not None:
                rules.require(ctx, Privilege.TENANT_ALLOCATE)
                row.suspended = changes.suspended
            if changes.comment is not None:
                row.comment = changes.comment
            audit.record(tx, ctx, "tenant.update", tenant=row.id, subject=row.name)
            tx.flush()
            return tenants.views(tx, [row])[0]

    def delete(self, ctx: Context, ref: str, *, cascade: bool) -> Operation:
        """Raises Conflict while guests exist (unless `cascade`), or while an operation of the tenant is open."""
        with self._db.begin() as tx:
            row = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_ALLOCATE, on=row.id)
            tenants.lock(tx, row.id)
            if operations.open_in(tx, row.id):
                raise Conflict(
                    "An operation of this tenant is open.", code="tenant.busy", remedy="Wait until it has ended."
                )
            count = tenants.guest_count(tx, row.id)
            if count and not cascade:
                raise Conflict(
                    "The tenant has guests.", code="tenant.not_empty", guests=count,
                    remedy="Delete them first, or use cascade=true.",
                )  # fmt: skip
            row.state = TenantState.DELETING
            audit.record(tx, ctx, "tenant.delete", tenant=row.id, subject=row.name)
            parameters = tenant_delete.Parameters(
                row.id, row.name, row.cluster_id, row.poolid, row.pve_user, row.token_id, row.storages, row.bridges,
                self._catalog, self._vmid_rest,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, tenant_delete.SAGA, parameters, _to(row))

    def _new_row(self, tx: Tx, cluster: Cluster, spec: TenantSpec, plan: Plan | None) -> Tenant:
        name = names.tenant_name(spec.name)
        identity = str(uuid.uuid4())
        poolid = _pool_name(name, identity)
        user = f"{poolid}@{self._realm}"
        return Tenant(
            id=identity, name=name, canonical=canonical_name(name), cluster_id=cluster.id, poolid=poolid,
            pve_user=user, token_id=f"{user}!{_TOKEN}", state=TenantState.CREATING, suspended=False,
            comment=spec.comment, storages=_granted_storages(tx, cluster, spec, plan),
            bridges=_granted_bridges(tx, cluster, spec, plan), plan_id=plan.id if plan is not None else None,
        )  # fmt: skip


def _to(row: Tenant) -> Submission:
    return Submission(tenant=row.id, guest=None, queue=tenant_create.QUEUE, lane=row.cluster_id)


def _pool_name(name: str, identity: str) -> str:
    """Readable, and never the same for two tenants: the name only helps people, the id's start decides."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:24].strip("-") or "tenant"
    return f"ph-{slug}-{identity[:8]}"


def _granted_storages(tx: Tx, cluster: Cluster, spec: TenantSpec, plan: Plan | None) -> list[str]:
    known = {storage.name for storage in clusters.storages(tx, cluster.id)}
    if spec.storages is None:
        of_plan = granting.granted_storages(plan, known) if plan is not None else None
        return sorted(known) if of_plan is None else of_plan
    _refuse_unknown("storages", spec.storages, known)
    return sorted(set(spec.storages))


def _granted_bridges(tx: Tx, cluster: Cluster, spec: TenantSpec, plan: Plan | None) -> list[str]:
    known = clusters.bridges(tx, cluster.id)
    if spec.bridges is None:
        of_plan = granting.granted_bridges(plan, known) if plan is not None else None
        usual = [name for name in _USUAL_BRIDGES if known is None or name in known]
        return usual if of_plan is None else of_plan
    if known is not None:
        _refuse_unknown("bridges", spec.bridges, known)
    return sorted(set(spec.bridges))


def _refuse_unknown(field: str, asked: Sequence[str], known: set[str]) -> None:
    wrong = [name for name in asked if name not in known]
    if wrong:
        raise Invalid({field: [f"the cluster has no {name!r}" for name in wrong]})
