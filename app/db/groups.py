"""Groups of users and tenants. They belong to the house: only its administrators and auditors list them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.db import paging
from app.db.models import Group, Plan, Tenant, User
from app.db.names import is_called
from app.db.session import Tx
from app.domain import plans as domain
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest

COLUMNS = {"name": Group.canonical, "created_at": Group.created_at}


def page(tx: Tx, request: PageRequest) -> Page[domain.Group]:
    statement = sa.select(Group)
    rows = paging.page(tx, statement, columns=COLUMNS, key=Group.id, default_sort="name", request=request)
    return Page(views(tx, rows.data), rows.count, rows.next)


def every(tx: Tx) -> Sequence[Group]:
    """By name."""
    return tx.scalars(sa.select(Group).order_by(Group.canonical)).all()


def find(tx: Tx, ref: str) -> Group:
    """By id or name. Raises NotFound."""
    return _one(tx.scalar(sa.select(Group).where(is_called(Group, ref))))


def locked(tx: Tx, ref: str) -> Group:
    """By id or name, for one decision at a time about it and its members. Raises NotFound."""
    statement = sa.select(Group).where(is_called(Group, ref)).with_for_update()
    return _one(tx.scalar(statement.execution_options(populate_existing=True)))


def tenants_in(tx: Tx, group: str) -> Sequence[Tenant]:
    """Its tenants, locked, in the order in which everybody locks them."""
    return tx.scalars(sa.select(Tenant).where(Tenant.group_id == group).order_by(Tenant.id).with_for_update()).all()


def has_members(tx: Tx, group: str) -> bool:
    users, tenants = sa.exists().where(User.group_id == group), sa.exists().where(Tenant.group_id == group)
    return tx.scalar(sa.select(sa.or_(users, tenants))) is True


def of_users(tx: Tx) -> dict[str, str]:
    """User id -> the name of his group; who is in none is absent."""
    rows = tx.execute(sa.select(User.id, Group.name).join(Group, Group.id == User.group_id))
    return dict(rows.all())


def views(tx: Tx, rows: Sequence[Group]) -> list[domain.Group]:
    """In a fixed number of queries."""
    ids = [row.id for row in rows]
    wanted = {row.plan_id for row in rows if row.plan_id is not None}
    plans = dict(tx.execute(sa.select(Plan.id, Plan.name).where(Plan.id.in_(wanted))).all())
    users, tenants = _counts(tx, User, ids), _counts(tx, Tenant, ids)
    return [
        domain.Group(
            id=row.id, name=row.name, description=row.description,
            plan=plans.get(row.plan_id or ""), ldap_filter=row.ldap_filter,
            user_count=users.get(row.id, 0), tenant_count=tenants.get(row.id, 0), created_at=row.created_at,
        )
        for row in rows
    ]  # fmt: skip


def _counts(tx: Tx, table: type[User] | type[Tenant], groups: Sequence[str]) -> dict[str, int]:
    counted: Any = sa.select(table.group_id, sa.func.count()).where(table.group_id.in_(groups)).group_by(table.group_id)
    return dict(tx.execute(counted).all())


def _one(row: Group | None) -> Group:
    if row is None:
        raise NotFound
    return row
