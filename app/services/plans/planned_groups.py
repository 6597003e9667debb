"""Groups with plans of their own, of the same name: for who knows only groups, and says of them what a plan says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from app.db import groups, plans
from app.db.models import Group as Row
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege
from app.domain.plans import Group, GroupSpec, Plan, PlanSpec
from app.policy import rules
from app.services.plans import Plans
from app.services.plans.groups import Groups


class PlannedGroups:
    """Group and plan change together or not at all. A plan that a group shares with others is changed for all of them,
    and keeps its name."""

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
        """Members of a GroupSpec (but `plan`) and of a PlanSpec; a group without a plan gets one. Raises as both do."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = groups.locked(tx, ref)
            if row.plan_id is None:
                made = self._plans.create(ctx, PlanSpec(**{**plan, "name": group.get("name", row.name)}))
                group = {**group, "plan": made.id}
            else:
                renamed = {"name": group["name"]} if "name" in group and _is_own(tx, row) else {}
                self._plans.change(ctx, row.plan_id, {**plan, **renamed})
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


def _is_own(tx: Tx, row: Row) -> bool:
    """Whether the group's plan has its name."""
    return any(plan.canonical == row.canonical for plan in plans.those(tx, [row.plan_id or ""]))
