"""Plans: administrators write them and give them to tenants; everybody reads those that concern him."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from app.db import audit, clusters, flavors, plans, quota, tenants
from app.db.models import Plan as Row
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.plans import Plan, PlanChanged, PlanSpec
from app.domain.quota import Dimension
from app.domain.tenants import TenantState, canonical_name
from app.policy import names, rules
from app.policy import plans as policy
from app.services.plans.giving import Giving, granted


class Plans(Giving):
    """A plan is named by id or name. Its limits, defaults, VLAN and flavors are looked at whenever they decide
    something, so a change of them counts at once, for all to whom it is given."""

    def list(self, ctx: Context, request: PageRequest) -> Page[Plan]:
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            return plans.page(tx, rules.visible(ctx), ctx.caller.user, request)

    def get(self, ctx: Context, ref: str) -> Plan:
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            return plans.views(tx, [plans.find(tx, rules.visible(ctx), ctx.caller.user, ref)])[0]

    def create(self, ctx: Context, spec: PlanSpec) -> Plan:
        """Raises Invalid, Conflict `name.taken`, `vlan.taken`."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = Row(id=str(uuid.uuid4()), limits={})
            _write(tx, row, vars(spec))
            tx.add(row)
            tx.flush()
            audit.record(tx, ctx, "plan.create", subject=row.name)
            return plans.views(tx, [row])[0]

    def change(self, ctx: Context, ref: str, change: Mapping[str, Any]) -> PlanChanged:
        """`change` has members of a PlanSpec; of `limits` it names dimensions. It applies to all tenants and users that
        have the plan, in one transaction: rows at once, rights in PVE by an operation for each tenant whose storages or
        bridges are others now.

        Raises Invalid, Conflict `name.taken`, `vlan.taken`, `tenant.busy`.
        """
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = plans.locked(tx, ref)
            before = row.storages, row.bridges
            _write(tx, row, change)
            tx.flush()
            audit.record(tx, ctx, "plan.change", subject=row.name)
            begun = self._follow(tx, ctx, row) if (row.storages, row.bridges) != before else []
            return PlanChanged(plans.views(tx, [row])[0], [operation.id for operation in begun])

    def delete(self, ctx: Context, ref: str) -> None:
        """Raises Conflict `plan.in_use` while a tenant or a group has it."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = plans.locked(tx, ref)
            if plans.is_used(tx, row.id):
                raise Conflict(
                    "Tenants or groups have this plan.", code="plan.in_use", remedy="Give them another one first."
                )
            audit.record(tx, ctx, "plan.delete", subject=row.name)
            tx.delete(row)

    def give(self, ctx: Context, tenant: str, plan: str | None) -> Operation:
        """The tenant has the plan from now on; without one it keeps what it has, as its own.

        Raises Invalid for a plan that is not there, or whose storages or bridges the tenant's cluster has not, Conflict
        `tenant.in_group`, `tenant.busy`, `tenant.not_ready`.
        """
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            found = plans.named(tx, plan) if plan is not None else None
            row = tenants.lock(tx, tenants.find(tx, rules.visible(ctx), tenant).id)
            tx.refresh(row)
            if row.group_id is not None:
                raise Conflict(
                    "The tenant has its group's plan.", code="tenant.in_group",
                    remedy="Change the group's plan, or take the tenant out of the group.",
                )  # fmt: skip
            if found is not None:
                return self._give(tx, ctx, row, found)
            limits = quota.limits(tx, row.id)
            row.plan_id = None
            quota.set_limits(tx, row.id, {dimension: limits.get(dimension) for dimension in Dimension})
            audit.record(tx, ctx, "tenant.plan", tenant=row.id, subject="none")
            return self._grant(tx, ctx, row, row.storages, row.bridges)

    def _follow(self, tx: Tx, ctx: Context, plan: Row) -> Iterable[Operation]:
        begun = []
        for tenant in plans.tenants_of(tx, plan.id):
            if tenant.state == TenantState.DELETING:
                continue
            storages, bridges = granted(tx, tenant, plan)
            if (storages, bridges) != (tenant.storages, tenant.bridges):
                begun.append(self._grant(tx, ctx, tenant, storages, bridges))
        return begun


def _write(tx: Tx, row: Row, members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        match name:
            case "name":
                row.name = names.tenant_name(value)
                row.canonical = canonical_name(row.name)
            case "limits":
                row.limits = policy.limits(row.limits, value)
            case "flavors":
                row.flavors = None if value is None else _flavors(tx, value)
            case "storages" | "bridges":
                setattr(row, name, None if value is None else sorted(set(value)))
            case _:
                setattr(row, name, value)
    policy.check(row, storages=clusters.storage_names(tx), bridges=clusters.bridge_names(tx))


def _flavors(tx: Tx, refs: Iterable[str]) -> list[str]:
    found = set()
    for ref in refs:
        try:
            found.add(flavors.find(tx, ref).id)
        except NotFound:
            raise Invalid({"flavors": [f"there is no flavor {ref!r}"]}) from None
    return sorted(found)
