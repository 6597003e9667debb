"""Groups with plans of their own, of the same name: for who knows only groups, and says of them what a plan says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from app.db import audit, groups, plans
from app.db.models import Group as Row
from app.db.models import Plan as PlanRow
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict
from app.domain.plans import Group, GroupSpec, Plan, PlanSpec
from app.policy import plans as policy
from app.policy import rules
from app.services.plans import Plans
from app.services.plans.groups import Groups


class PlannedGroups:
    """Group and plan change together or not at all, and for nobody else: a group that shares its plan with others gets
    a copy when something else is said of it."""

    def __init__(self, db: Database, of_plans: Plans, of_groups: Groups) -> None:
        self._db = db
        self._plans = of_plans
        self._groups = of_groups

    def every(self, ctx: Context) -> Sequence[tuple[Group, Plan | None]]:
        """By name, whoever made them."""
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            rows = groups.every(tx)
            named = plans.those(tx, [row.plan_id for row in rows if row.plan_id is not None])
            said = {plan.id: plan for plan in plans.views(tx, named)}
            views = groups.views(tx, rows)
            return [(view, said.get(row.plan_id or "")) for row, view in zip(rows, views, strict=True)]

    def create(self, ctx: Context, group: GroupSpec, plan: PlanSpec) -> Group:
        """`plan` gets the group's name. Raises as both do for themselves."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin():
            made = self._plans.create(ctx, dataclasses.replace(plan, name=group.name))
            return self._groups.create(ctx, dataclasses.replace(group, plan=made.id))

    def change(self, ctx: Context, ref: str, group: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        """Members of a GroupSpec (but `plan`) and of a PlanSpec; a group without a plan gets one. Raises as both do,
        and Conflict `plan.in_use` where others have the plan and the group cannot have a copy of it."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = groups.locked(tx, ref)
            name = group.get("name", row.name)
            if row.plan_id is None:
                made = self._plans.create(ctx, PlanSpec(**{**plan, "name": name}))
                group = {**group, "plan": made.id}
            elif not (others := plans.others_with(tx, row.plan_id, row.id)):
                renamed = {"name": name} if _is_own(tx, row) else {}
                self._plans.change(ctx, row.plan_id, {**plan, **renamed})
            elif _differs(there := plans.locked(tx, row.plan_id), plan):
                _require_copyable(tx, row, there, plan, others)
                self._plans.change(ctx, self._copy(tx, ctx, row, there, name), plan)
            self._groups.change(ctx, row.id, group)

    def delete(self, ctx: Context, ref: str) -> None:
        """Its own plan goes with it, unless others have that, too. Raises Conflict `group.in_use`."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = groups.locked(tx, ref)
            own = row.plan_id if _is_own(tx, row) else None
            self._groups.delete(ctx, row.id)
            tx.flush()
            if own is not None and not plans.is_used(tx, own):
                self._plans.delete(ctx, own)

    def _copy(self, tx: Tx, ctx: Context, row: Row, plan: PlanRow, name: str) -> str:
        """The group, and the tenants that have the plan by it, have a plan that says the same. What was set for a
        tenant itself stays."""
        said = {field.name: getattr(plan, field.name) for field in dataclasses.fields(PlanSpec)}
        made = self._plans.create(ctx, PlanSpec(**{**said, "name": name, "vlan": None}))
        for tenant in groups.tenants_in(tx, row.id):
            if tenant.plan_id == plan.id:
                tenant.plan_id = made.id
                audit.record(tx, ctx, "tenant.plan", tenant=tenant.id, subject=made.name)
        row.plan_id = made.id
        tx.flush()
        return made.id


def _differs(plan: PlanRow, said: Mapping[str, Any]) -> bool:
    now = {**said, "limits": policy.limits(plan.limits, said.get("limits", {}))}
    return any(getattr(plan, name) != value for name, value in now.items())


def _require_copyable(tx: Tx, row: Row, plan: PlanRow, said: Mapping[str, Any], others: Sequence[str]) -> None:
    """Two plans have neither one name nor one VLAN."""
    keeps_vlan = plan.vlan is not None and said.get("vlan", plan.vlan) == plan.vlan
    if keeps_vlan or _is_own(tx, row):
        raise Conflict(
            f"Others have the plan of this group, too: {', '.join(others)}.", code="plan.in_use",
            remedy="Give them, or the group, another plan.",
        )  # fmt: skip


def _is_own(tx: Tx, row: Row) -> bool:
    """Whether the group's plan has its name."""
    return any(plan.canonical == row.canonical for plan in plans.those(tx, [row.plan_id or ""]))
