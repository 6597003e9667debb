"""Log-in: sessions are rows, looked up on every request, so that their end counts at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.db import audit, log_ins, members, quota, users
from app.db.models import User
from app.db.session import Database, Tx, now
from app.domain import tenants as domain
from app.domain.access import Caller, Context, Membership, Privilege, UserRole
from app.domain.errors import Conflict, Forbidden, Invalid, Unauthenticated
from app.domain.quota import Dimension
from app.domain.tenants import LogIn
from app.policy import passwords, rules
from app.policy import quota as quota_rules
from app.policy.tries import Tries

FIRST_ADMIN = "admin"


@dataclass(frozen=True)
class Profile:
    """Who the caller is. `tenants` are {"id", "name", "role"} by name; `quota` is {"limit", "used"} of his home tenant,
    each empty where he is in none; a limit of None is unlimited. Where his own limit in the tenant leaves him less
    room, it is his own, with his own use."""

    user: domain.User
    tenants: Sequence[Mapping[str, str]]
    quota: Mapping[str, Mapping[str, int | None]]


class Auth:
    """`refresh_lifetime` is how long a log-in lasts without being refreshed."""

    def __init__(self, db: Database, *, refresh_lifetime: timedelta) -> None:
        self._db = db
        self._lifetime = refresh_lifetime
        self._tries = Tries()

    def ensure_first_admin(self, password: str | None) -> str | None:
        """Make the user `admin` where the house has no administrator. Gives the password if it had to be generated.

        Raises Invalid for a given password outside the policy.
        """
        with self._db.read() as tx:
            if users.has_admin(tx):
                return None
        generated = passwords.generate() if password is None else None
        kept = passwords.hashed(generated or password or "")
        try:
            with self._db.begin() as tx:
                if users.has_admin(tx):
                    return None
                users.add(tx, FIRST_ADMIN, kept, UserRole.ADMIN)
                audit.record_anonymous(tx, "user.create", FIRST_ADMIN, "ok", "", "", actor=audit.HOUSE)
        except Conflict:
            with self._db.read() as tx:
                if users.has_admin(tx):  # another process was first
                    return None
            raise
        return generated

    def log_in(self, username: str, password: str, *, address: str, request_id: str = "") -> LogIn:
        """Raises Unauthenticated `auth.failed`: the same, after the same work, for an unknown user, a wrong password
        and a disabled user; Forbidden `tenant.suspended` where all of a user's tenants are."""
        with self._db.read() as tx:
            found = users.named(tx, username)
        kept = found.password_hash if found is not None else None
        proven = passwords.proves(password, kept)
        if proven and found is not None and kept is not None and not found.disabled:
            renewed = passwords.hashed(password) if passwords.outdated(kept) else kept
            with self._db.begin() as tx:
                user = users.lock(tx, found.id)
                if user is not None and user.password_hash == kept and not user.disabled:
                    user.password_hash = renewed
                    return self._open(tx, user, address, request_id)
        self._record_refusal(found, address, request_id)
        raise Unauthenticated("The user name or the password is wrong.", code="auth.failed")

    def refresh(self, session: str, refresh_id: str, *, address: str = "", request_id: str = "") -> LogIn:
        """The log-in with its next `refresh_id`. Raises Unauthenticated `auth.expired`.

        A refresh id that was used before has been copied: the whole log-in ends (RFC 9700, section 4.14.2).
        """
        with self._db.begin() as tx:
            fresh = log_ins.rotate(tx, session, refresh_id, self._lifetime)
            user = log_ins.owner(tx, session)
            if user is not None and fresh is not None and not user.disabled:
                caller = Caller(user.id, user.username, UserRole(user.role), session)
                return _log_in(tx, fresh, user, Context(caller, members.of_user(tx, user.id), request_id, address))
            if user is not None:
                log_ins.end(tx, session)
                audit.record_anonymous(tx, "auth.refresh", user.username, "refused", address, request_id)
        raise _ended()

    def authenticate(self, session: str, *, request_id: str, address: str) -> Context:
        """Who calls, as he is now. Raises Unauthenticated `auth.expired` where the log-in has ended."""
        with self._db.read() as tx:
            found = log_ins.authenticate(tx, session)
        if found is None:
            raise _ended()
        return Context(found.caller, found.memberships, request_id, address)

    def log_out(self, ctx: Context) -> None:
        rules.require_log_in(ctx)
        with self._db.begin() as tx:
            log_ins.end(tx, ctx.caller.session)
            audit.record(tx, ctx, "auth.log_out", subject=ctx.caller.username)

    def change_password(self, ctx: Context, current: str, new: str) -> None:
        """End the user's other log-ins with it. Raises Invalid, naming `current_password` or `new_password`."""
        rules.require_log_in(ctx)
        with self._db.read() as tx:
            kept = users.find(tx, ctx.caller.user).password_hash
        proven = passwords.proves(current, kept)
        fresh = passwords.hashed(new, field="new_password") if proven else None
        with self._db.begin() as tx:
            user = users.lock(tx, ctx.caller.user)
            changed = fresh is not None and user is not None and user.password_hash == kept
            if changed and user is not None:
                user.password_hash = fresh
                log_ins.end_all(tx, user.id, but=ctx.caller.session)
            result = "ok" if changed else "refused"
            audit.record(tx, ctx, "auth.change_password", subject=ctx.caller.username, result=result)
        if not changed:
            raise Invalid({"current_password": ["is wrong"]}, code="auth.wrong_password")

    def me(self, ctx: Context) -> Profile:
        with self._db.read() as tx:
            user = users.find(tx, ctx.caller.user)
            home = rules.home(ctx) if rules.in_scope(ctx, Privilege.TENANT_AUDIT) else None
            return Profile(users.view(user), _tenants(ctx.memberships.values()), _quota(tx, user.id, home))

    def _open(self, tx: Tx, user: User, address: str, request_id: str) -> LogIn:
        memberships = members.of_user(tx, user.id)
        _refuse_suspended(user, memberships)
        log_ins.forget_expired(tx, user.id, now())
        session = log_ins.open_for(tx, user.id, audit.printable(address), self._lifetime)
        caller = Caller(user.id, user.username, UserRole(user.role), session.id)
        ctx = Context(caller, memberships, request_id, address)
        audit.record(tx, ctx, "auth.log_in", subject=user.username)
        return _log_in(tx, session.refresh_id, user, ctx)

    def _record_refusal(self, user: User | None, address: str, request_id: str) -> None:
        """Of an unknown name nothing is kept: people type their password into the wrong field."""
        number = self._tries.worth_telling(address, time.monotonic())
        if number is None:
            return
        name = user.username if user is not None else "unknown user"
        with self._db.begin() as tx:
            subject = f"{name} (try {number} from this address within an hour)"
            audit.record_anonymous(tx, "auth.log_in", subject, "refused", address, request_id)


def _log_in(tx: Tx, refresh_id: str, user: User, ctx: Context) -> LogIn:
    quota = _quota(tx, user.id, rules.home(ctx))
    return LogIn(ctx.caller.session, refresh_id, users.view(user), _tenants(ctx.memberships.values()), quota)


def _refuse_suspended(user: User, memberships: Mapping[str, Membership]) -> None:
    suspended = [membership.suspended for membership in memberships.values()]
    if user.role == UserRole.USER and suspended and all(suspended):
        raise Forbidden("Your tenant is suspended.", code="tenant.suspended", remedy="Ask an administrator.")


def _tenants(memberships: Iterable[Membership]) -> list[Mapping[str, str]]:
    by_name = sorted(memberships, key=lambda member: domain.canonical_name(member.name))
    return [{"id": member.tenant, "name": member.name, "role": member.role.value} for member in by_name]


def _quota(tx: Tx, user: str, tenant: str | None) -> Mapping[str, Mapping[str, int | None]]:
    if tenant is None:
        return {"limit": {}, "used": {}}
    limits, used = quota_rules.binding(
        quota.limits(tx, tenant), quota.used(tx, tenant),
        own_limits=quota.limits(tx, tenant, user), own_used=quota.used(tx, tenant, user),
    )  # fmt: skip
    return {"limit": {d.value: limits[d] for d in Dimension}, "used": {d.value: used[d] for d in Dimension}}


def _ended() -> Unauthenticated:
    return Unauthenticated("Your log-in has ended.", code="auth.expired", remedy="Log in again.")
