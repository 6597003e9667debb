"""Who is what in which tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.db import paging
from app.db.models import Member, Tenant, User
from app.db.session import Tx
from app.domain import tenants as domain
from app.domain.access import Membership, TenantRole
from app.domain.paging import Page, PageRequest

COLUMNS: Mapping[str, Any] = {"username": User.canonical, "role": Member.role, "created_at": Member.created_at}


def role_of(tx: Tx, tenant: str, user: str) -> TenantRole | None:
    """`user` is an id; None where he is no member."""
    row = tx.get(Member, (tenant, user))
    return None if row is None else TenantRole(row.role)


def roles(tx: Tx, tenant: str) -> dict[str, TenantRole]:
    """The id of every member -> what he is."""
    rows = tx.execute(sa.select(Member.user_id, Member.role).where(Member.tenant_id == tenant))
    return {user: TenantRole(role) for user, role in rows}


def owners(tx: Tx, tenant: str) -> set[str]:
    """The ids of the tenant's owners. Whoever decides by their number has locked the tenant."""
    statement = sa.select(Member.user_id).where(Member.tenant_id == tenant, Member.role == TenantRole.OWNER)
    return set(tx.scalars(statement))


def homes(tx: Tx, user: str | None = None) -> dict[str, str]:
    """User id -> his home tenant, the one that he was a member of first; of all users, or of one."""
    oldest = sa.select(Member.user_id, Member.tenant_id).join(Tenant, Tenant.id == Member.tenant_id)
    if user is not None:
        oldest = oldest.where(Member.user_id == user)
    found: dict[str, str] = {}
    for member, tenant in tx.execute(oldest.order_by(Member.created_at, Tenant.canonical)):
        found.setdefault(member, tenant)
    return found


def put(tx: Tx, tenant: str, user: str, role: TenantRole) -> None:
    """Make the user a member, or give the member another role."""
    row = tx.get(Member, (tenant, user))
    if row is None:
        tx.add(Member(tenant_id=tenant, user_id=user, role=role))
    else:
        row.role = role
    tx.flush()


def remove(tx: Tx, tenant: str, user: str) -> None:
    """His limits stay: who is taken out and back in has them again."""
    tx.execute(sa.delete(Member).where(Member.tenant_id == tenant, Member.user_id == user))


def page(tx: Tx, tenant: str, request: PageRequest) -> Page[domain.Member]:
    statement = (
        sa.select(Member.user_id, User.username, Member.role)
        .join(User, User.id == Member.user_id)
        .where(Member.tenant_id == tenant)
    )
    rows = paging.page(
        tx, statement, columns=COLUMNS, key=Member.user_id, default_sort="username", request=request
    )  # fmt: skip
    return Page([domain.Member(user, name, TenantRole(role)) for user, name, role in rows.data], rows.count, rows.next)


def of_user(tx: Tx, user: str) -> dict[str, Membership]:
    """Tenant id -> membership, the oldest first."""
    rows = tx.execute(
        sa.select(Member.tenant_id, Tenant.name, Member.role, Tenant.suspended)
        .join(Tenant, Tenant.id == Member.tenant_id)
        .where(Member.user_id == user)
        .order_by(Member.created_at, Tenant.canonical)
    )
    return {tenant: Membership(tenant, name, TenantRole(role), suspended) for tenant, name, role, suspended in rows}
