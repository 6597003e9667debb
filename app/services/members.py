"""Members of a tenant: its owners, and administrators, say who is one."""

from __future__ import annotations

from app.db import audit, members, tenants, users
from app.db.models import Tenant
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege, TenantRole
from app.domain.errors import Conflict, NotFound
from app.domain.paging import Page, PageRequest
from app.domain.tenants import Member
from app.policy import rules

FIRST_PAGE = PageRequest()


class Members:
    """`ref` is the tenant's id or name. What changes here counts from the member's next request on."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self, ctx: Context, ref: str, request: PageRequest = FIRST_PAGE) -> Page[Member]:
        with self._db.read() as tx:
            tenant = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_AUDIT, on=tenant.id)
            return members.page(tx, tenant.id, request)

    def add(self, ctx: Context, ref: str, username: str, role: TenantRole) -> Member:
        """Make a user a member, or give a member another role. Raises NotFound for a name that is nobody's,
        Conflict `tenant.last_owner`."""
        with self._db.begin() as tx:
            tenant = self._to_change(tx, ctx, ref)
            user = users.named(tx, username)
            if user is None:
                raise NotFound("There is no user of this name.")
            if role != TenantRole.OWNER:
                _refuse_last(tx, ctx, tenant, user.id)
            members.put(tx, tenant.id, user.id, role)
            audit.record(tx, ctx, "member.add", tenant=tenant.id, subject=f"{user.username} role={role}")
            return Member(user.id, user.username, role)

    def remove(self, ctx: Context, ref: str, user: str) -> None:
        """`user` is an id or a name; his guests belong to the tenant, and stay charged to it and to him.

        Raises NotFound for who is no member, Conflict `tenant.last_owner`.
        """
        with self._db.begin() as tx:
            tenant = self._to_change(tx, ctx, ref)
            found = users.find(tx, user)
            if members.role_of(tx, tenant.id, found.id) is None:
                raise NotFound
            _refuse_last(tx, ctx, tenant, found.id)
            members.remove(tx, tenant.id, found.id)
            audit.record(tx, ctx, "member.remove", tenant=tenant.id, subject=found.username)

    def _to_change(self, tx: Tx, ctx: Context, ref: str) -> Tenant:
        """Locked, so that two owners who leave at once do not leave the tenant without one."""
        tenant = tenants.find(tx, rules.visible(ctx), ref)
        rules.require(ctx, Privilege.MEMBER_MODIFY, on=tenant.id)
        return tenants.lock(tx, tenant.id)


def _refuse_last(tx: Tx, ctx: Context, tenant: Tenant, user: str) -> None:
    """Who may change every tenant may also leave one without an owner."""
    everywhere = Privilege.MEMBER_MODIFY in rules.EVERYWHERE[ctx.caller.role]
    if not everywhere and members.owners(tx, tenant.id) == {user}:
        raise Conflict(
            "This is the tenant's last owner.", code="tenant.last_owner",
            remedy="Make somebody else an owner first, or ask an administrator.",
        )  # fmt: skip
