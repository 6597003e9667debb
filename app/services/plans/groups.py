"""Groups: administrators write them; what a group's plan says applies to the users and tenants in it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from app.db import audit, groups, plans, quota, tenants, users
from app.db.models import Group as Row
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, NotFound
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.plans import Group, GroupChanged, GroupSpec
from app.domain.tenants import Tenant, TenantState, User, canonical_name
from app.policy import names, rules
from app.services.plans.giving import Giving


class Groups(Giving):
    """A group is named by id or name. Users and tenants are in one at most: who joins another leaves the first.

    A tenant in a group has the group's plan, and keeps it when it leaves. For a user the plan's limits are his own in
    each tenant, for as long as he is in the group.
    """

    def list(self, ctx: Context, request: PageRequest) -> Page[Group]:
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            return groups.page(tx, request)

    def get(self, ctx: Context, ref: str) -> Group:
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            return groups.views(tx, [groups.find(tx, ref)])[0]

    def create(self, ctx: Context, spec: GroupSpec) -> Group:
        """Raises Invalid for a plan that is not there, Conflict `name.taken`."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            name = names.tenant_name(spec.name)
            row = Row(
                id=str(uuid.uuid4()), name=name, canonical=canonical_name(name), description=spec.description,
                plan_id=plans.named(tx, spec.plan).id if spec.plan is not None else None, ldap_filter=spec.ldap_filter,
            )  # fmt: skip
            tx.add(row)
            tx.flush()
            audit.record(tx, ctx, "group.create", subject=row.name)
            return groups.views(tx, [row])[0]

    def change(self, ctx: Context, ref: str, change: Mapping[str, Any]) -> GroupChanged:
        """`change` has members of a GroupSpec. Another plan applies to all in the group, in one transaction, as a plan
        that is changed does; without one its tenants keep what they have.

        Raises Invalid, Conflict `name.taken`, `tenant.busy`.
        """
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = groups.locked(tx, ref)
            begun: Sequence[Operation] = []
            for name, value in change.items():
                match name:
                    case "name":
                        row.name = names.tenant_name(value)
                        row.canonical = canonical_name(row.name)
                    case "plan":
                        begun = self._change_plan(tx, ctx, row, value)
                    case _:
                        setattr(row, name, value)
            tx.flush()
            audit.record(tx, ctx, "group.change", subject=row.name)
            return GroupChanged(groups.views(tx, [row])[0], [operation.id for operation in begun])

    def delete(self, ctx: Context, ref: str) -> None:
        """Raises Conflict `group.in_use` while a user or a tenant is in it."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            row = groups.locked(tx, ref)
            if groups.has_members(tx, row.id):
                raise Conflict(
                    "Users or tenants are in this group.", code="group.in_use", remedy="Take them out first."
                )
            audit.record(tx, ctx, "group.delete", subject=row.name)
            tx.delete(row)

    # -- members

    def users(self, ctx: Context, ref: str, request: PageRequest) -> Page[User]:
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            return users.page(tx, request, group=groups.find(tx, ref).id)

    def tenants(self, ctx: Context, ref: str, request: PageRequest) -> Page[Tenant]:
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            return tenants.page(tx, rules.visible(ctx), request, group=groups.find(tx, ref).id)

    def add_user(self, ctx: Context, ref: str, user: str) -> None:
        """The plan's limits take the place of his own. Raises NotFound for who is not there."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            group = groups.locked(tx, ref)
            row = users.find(tx, user)
            row.group_id = group.id
            quota.forget_limits_of_user(tx, row.id)
            audit.record(tx, ctx, "group.add", subject=f"{group.name} user={row.username}")

    def remove_user(self, ctx: Context, ref: str, user: str) -> None:
        """Raises NotFound for who is not in it."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            group = groups.locked(tx, ref)
            row = users.find(tx, user)
            if row.group_id != group.id:
                raise NotFound
            row.group_id = None
            audit.record(tx, ctx, "group.remove", subject=f"{group.name} user={row.username}")

    def add_tenant(self, ctx: Context, ref: str, tenant: str) -> Operation:
        """Raises as `Plans.give` does."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            group = groups.locked(tx, ref)
            row = tenants.lock(tx, tenants.find(tx, rules.visible(ctx), tenant).id)
            tx.refresh(row)
            row.group_id = group.id
            audit.record(tx, ctx, "group.add", tenant=row.id, subject=f"{group.name} tenant={row.name}")
            if group.plan_id is None:
                return self._grant(tx, ctx, row, row.storages, row.bridges)
            return self._give(tx, ctx, row, plans.locked(tx, group.plan_id))

    def remove_tenant(self, ctx: Context, ref: str, tenant: str) -> None:
        """Raises NotFound for one that is not in it."""
        rules.require(ctx, Privilege.PLAN_MODIFY)
        with self._db.begin() as tx:
            group = groups.locked(tx, ref)
            row = tenants.lock(tx, tenants.find(tx, rules.visible(ctx), tenant).id)
            if row.group_id != group.id:
                raise NotFound
            row.group_id = None
            audit.record(tx, ctx, "group.remove", tenant=row.id, subject=f"{group.name} tenant={row.name}")

    def _change_plan(self, tx: Tx, ctx: Context, group: Row, ref: str | None) -> Sequence[Operation]:
        plan = plans.named(tx, ref) if ref is not None else None
        if group.plan_id == (plan.id if plan is not None else None):
            return []
        group.plan_id = plan.id if plan is not None else None
        if plan is None:
            return []
        there = [tenant for tenant in groups.tenants_in(tx, group.id) if tenant.state != TenantState.DELETING]
        return [self._give(tx, ctx, tenant, plan) for tenant in there]
