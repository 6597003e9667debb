"""Users of the house: made, changed and removed by its administrators."""

from __future__ import annotations

from collections import Counter

from app.db import audit, guests, log_ins, members, tenants, users
from app.db.models import User
from app.db.session import Database, Tx
from app.domain import tenants as domain
from app.domain.access import Context, Privilege, UserRole
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.paging import Page, PageRequest
from app.policy import names, passwords, rules


class Users:
    """A user is named by id or name. What changes here counts from the user's next request on."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(
        self, ctx: Context, username: str, password: str | None, role: UserRole
    ) -> tuple[domain.User, str | None]:
        """The user, and the password where none was given: it is shown this once.

        Raises Invalid for a name or password outside the policy, Conflict `name.taken`.
        """
        rules.require(ctx, Privilege.USER_MODIFY)
        name = names.username(username)
        generated = passwords.generate() if password is None else None
        kept = passwords.hashed(generated or password or "")
        with self._db.begin() as tx:
            row = users.add(tx, name, kept, role)
            audit.record(tx, ctx, "user.create", subject=f"{name} role={role}")
            return users.view(row), generated

    def list(self, ctx: Context, request: PageRequest) -> Page[domain.User]:
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            return users.page(tx, request)

    def get(self, ctx: Context, user: str) -> domain.User:
        rules.require(ctx, Privilege.USER_AUDIT)
        with self._db.read() as tx:
            return users.view(users.find(tx, user))

    def update(
        self,
        ctx: Context,
        user: str,
        *,
        role: UserRole | None = None,
        disabled: bool | None = None,
        password: str | None = None,
    ) -> domain.User:
        """A new password ends the user's log-ins (but the one that is asking), disabling ends all.

        Raises Conflict `user.last_admin` rather than leave the house without an enabled administrator.
        """
        rules.require(ctx, Privilege.USER_MODIFY)
        kept = passwords.hashed(password) if password is not None else None
        with self._db.begin() as tx:
            admins = users.lock_admins(tx)
            row = users.lock(tx, users.find(tx, user).id)
            if row is None:
                raise NotFound
            row.role = role if role is not None else row.role
            row.disabled = disabled if disabled is not None else row.disabled
            if row.role != UserRole.ADMIN or row.disabled:
                _refuse_last(admins, row.id)
            if kept is not None:
                row.password_hash = kept
                log_ins.end_all(tx, row.id, but=ctx.caller.session)
            if row.disabled:
                log_ins.end_all(tx, row.id)
            changes = {"role": role, "disabled": disabled, "password": "new" if kept is not None else None}
            told = " ".join(f"{name}={value}" for name, value in changes.items() if value is not None)
            audit.record(tx, ctx, "user.update", subject=f"{row.username} {told}")
            tx.flush()
            return users.view(row)

    def delete(self, ctx: Context, user: str, *, transfer_to: str | None = None) -> None:
        """His log-ins and memberships go with him; his guests are handed over to `transfer_to`, whatever that one's own
        limits are.

        Raises Conflict `user.last_admin`, Conflict `user.has_guests` where nobody takes them, Invalid for a taker who
        is not a member of all their tenants.
        """
        rules.require(ctx, Privilege.USER_MODIFY)
        with self._db.begin() as tx:
            admins = users.lock_admins(tx)
            row = users.find(tx, user)
            _refuse_last(admins, row.id)
            taker = _taker(tx, row.id, transfer_to) if transfer_to is not None else None
            _part_from_guests(tx, ctx, row, taker)
            users.remove(tx, row.id)
            audit.record(tx, ctx, "user.delete", subject=row.username)


def _taker(tx: Tx, user: str, ref: str) -> User:
    try:
        found = users.find(tx, ref)
    except NotFound:
        raise Invalid({"transfer_to": ["there is no such user"]}) from None
    if found.id == user:
        raise Invalid({"transfer_to": ["must be somebody else"]})
    return found


def _part_from_guests(tx: Tx, ctx: Context, user: User, taker: User | None) -> None:
    """Each tenant is told in its own log what of it changed hands."""
    for tenant in sorted({guest.tenant_id for guest in guests.of_user(tx, user.id)}):
        tenants.lock(tx, tenant)
    counts = Counter(guest.tenant_id for guest in guests.of_user(tx, user.id))
    if not counts:
        return
    if taker is None:
        raise Conflict(
            f"The user has {counts.total()} guests.", code="user.has_guests", guests=counts.total(),
            remedy="Delete them, or hand them over with `transfer_to`, to a member of all their tenants.",
        )  # fmt: skip
    for tenant, count in counts.items():
        if members.role_of(tx, tenant, taker.id) is None:
            raise Invalid({"transfer_to": ["is not a member of every tenant in which the user has guests"]})
        told = f"{count} guests of {user.username} to {taker.username}"
        audit.record(tx, ctx, "guest.transfer", tenant=tenant, subject=told)
    guests.hand_over(tx, user.id, taker.id)


def _refuse_last(admins: set[str], user: str) -> None:
    if admins == {user}:
        raise Conflict(
            "This is the last enabled administrator.", code="user.last_admin",
            remedy="Make somebody else an administrator first.",
        )  # fmt: skip
