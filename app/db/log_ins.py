"""Log-ins (the table `sessions`): each request looks its own up, so that the end of one counts at once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db.models import Member, Session, Tenant, User
from app.db.session import Tx, now
from app.domain.access import Caller, Membership, TenantRole, UserRole

_AUTHENTICATE = (
    sa.select(
        User.id, User.username, User.role, User.disabled, Session.expires_at,
        Tenant.id, Tenant.name, Member.role, Tenant.suspended,
    )
    .select_from(Session)
    .join(User, User.id == Session.user_id)
    .outerjoin(Member, Member.user_id == User.id)
    .outerjoin(Tenant, Tenant.id == Member.tenant_id)
    .where(Session.id == sa.bindparam("session"))
    .order_by(Member.created_at, Tenant.canonical)
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Who is behind a log-in that is good now. `memberships` by tenant id, the oldest first."""

    caller: Caller
    memberships: dict[str, Membership]


def authenticate(tx: Tx, session: str) -> Found | None:
    """One query, on every request's path. None where the log-in has ended or its user is disabled."""
    rows = tx.connection().execute(_AUTHENTICATE, {"session": session}).all()
    if not rows:
        return None
    user, username, role, disabled, expires_at = rows[0][:5]
    if disabled or expires_at <= now():
        return None
    memberships = {
        tenant: Membership(tenant, name, TenantRole(in_tenant), suspended)
        for *_, tenant, name, in_tenant, suspended in rows
        if tenant is not None
    }
    return Found(Caller(user, username, UserRole(role), session), memberships)


def open_for(tx: Tx, user: str, address: str, lifetime: timedelta) -> Session:
    row = Session(
        id=str(uuid.uuid4()), user_id=user, refresh_id=str(uuid.uuid4()), address=address, expires_at=now() + lifetime
    )
    tx.add(row)
    tx.flush()
    return row


def rotate(tx: Tx, session: str, refresh_id: str, lifetime: timedelta) -> str | None:
    """The next refresh id, good until `lifetime` from now; None where `refresh_id` is not the one that is good now."""
    fresh = str(uuid.uuid4())
    good = sa.and_(Session.id == session, Session.refresh_id == refresh_id, Session.expires_at > now())
    changed = tx.execute(
        sa.update(Session).where(good).values(refresh_id=fresh, expires_at=now() + lifetime).returning(Session.id)
    ).first()
    return None if changed is None else fresh


def owner(tx: Tx, session: str) -> User | None:
    return tx.scalars(sa.select(User).join(Session, Session.user_id == User.id).where(Session.id == session)).first()


def end(tx: Tx, session: str) -> None:
    tx.execute(sa.delete(Session).where(Session.id == session))


def end_all(tx: Tx, user: str, *, but: str | None = None) -> None:
    """End a user's log-ins; the one that is asking may stay."""
    statement = sa.delete(Session).where(Session.user_id == user)
    tx.execute(statement if but is None else statement.where(Session.id != but))


def forget_expired(tx: Tx, user: str, at: datetime) -> None:
    tx.execute(sa.delete(Session).where(Session.user_id == user, Session.expires_at <= at))
