"""Users. They belong to the house, not to a tenant: only its administrators and auditors list them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.db import paging
from app.db.models import QuotaLimit, User
from app.db.session import Tx
from app.domain import tenants as domain
from app.domain.access import UserRole
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest
from app.domain.tenants import canonical_name

COLUMNS: Mapping[str, Any] = {"username": User.canonical, "role": User.role, "created_at": User.created_at}
_LONGEST = 256


def named(tx: Tx, username: str) -> User | None:
    """None also for a text that can be nobody's name."""
    name = canonical_name(username[: _LONGEST + 1])
    if len(name) > _LONGEST or not name.isprintable():
        return None
    return tx.scalars(sa.select(User).where(User.canonical == name)).first()


def find(tx: Tx, ref: str) -> User:
    """By id or name. Raises NotFound."""
    try:
        row = tx.get(User, str(uuid.UUID(ref)))
    except ValueError:
        row = named(tx, ref)
    if row is None:
        raise NotFound
    return row


def lock(tx: Tx, user: str) -> User | None:
    """The user as he is now; until the transaction ends nobody else changes him."""
    statement = sa.select(User).where(User.id == user).with_for_update(key_share=True)
    return tx.scalars(statement.execution_options(populate_existing=True)).first()


def lock_admins(tx: Tx) -> set[str]:
    """The ids of all enabled administrators; until the transaction ends their number is one caller's decision.

    Whoever also locks a single user does so afterwards, so that two callers never wait for each other.
    """
    statement = sa.select(User.id).where(User.role == UserRole.ADMIN, User.disabled.is_(False)).order_by(User.id)
    return set(tx.scalars(statement.with_for_update(key_share=True)))


def has_admin(tx: Tx) -> bool:
    return tx.scalars(sa.select(User.id).where(User.role == UserRole.ADMIN).limit(1)).first() is not None


def add(tx: Tx, username: str, password_hash: str, role: UserRole) -> User:
    """Raises Conflict `name.taken` (by `Database`, at the end of the transaction) where the name is somebody's."""
    row = User(
        id=str(uuid.uuid4()), username=username, canonical=canonical_name(username), password_hash=password_hash,
        role=role, disabled=False,
    )  # fmt: skip
    tx.add(row)
    tx.flush()
    return row


def remove(tx: Tx, user: str) -> None:
    """With log-ins and memberships. His limits go by hand: their column also holds '', the tenant itself."""
    tx.execute(sa.delete(QuotaLimit).where(QuotaLimit.user_id == user))
    tx.execute(sa.delete(User).where(User.id == user))


def page(tx: Tx, request: PageRequest, *, group: str | None = None) -> Page[domain.User]:
    """`group` (an id): those in it."""
    statement = sa.select(User)
    if group is not None:
        statement = statement.where(User.group_id == group)
    rows = paging.page(tx, statement, columns=COLUMNS, key=User.id, default_sort="username", request=request)
    return Page([view(row) for row in rows.data], rows.count, rows.next)


def every(tx: Tx) -> list[domain.User]:
    return [view(row) for row in tx.scalars(sa.select(User).order_by(User.canonical))]


def view(row: User) -> domain.User:
    return domain.User(row.id, row.username, UserRole(row.role), row.disabled, row.created_at)
