"""The ledger: limits, and what is allocated. Every function takes the tenant first.

Whoever changes allocations has locked the tenant (`tenants.lock`) in the same transaction, so the sum that decides is
the sum that stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.db.models import Allocation, Group, Guest, Plan, QuotaLimit, Tenant, User
from app.db.session import Tx
from app.domain.quota import Amounts, Dimension

TENANT = ""


def limits(tx: Tx, tenant: str, user: str = TENANT) -> dict[Dimension, int]:
    """The limits of the tenant, or of one user in it; a dimension that is absent is unlimited. What is set for the very
    tenant or user comes before what the plan says: the tenant's, and that of the user's group."""
    of_plan = (
        sa.select(Plan.limits).join(Tenant, Tenant.plan_id == Plan.id).where(Tenant.id == tenant)
        if user == TENANT
        else _of_groups().where(User.id == user)
    )
    own = sa.select(QuotaLimit.dimension, QuotaLimit.amount).where(
        QuotaLimit.tenant_id == tenant, QuotaLimit.user_id == user
    )
    return _set({**(tx.scalar(of_plan) or {}), **dict(tx.execute(own).all())})


def set_limits(tx: Tx, tenant: str, changes: Mapping[Dimension, int | None], user: str = TENANT) -> None:
    """Change the named dimensions; None lifts a limit, a plan's too."""
    for dimension, amount in changes.items():
        tx.merge(QuotaLimit(tenant_id=tenant, user_id=user, dimension=dimension, amount=amount))
    tx.flush()


def forget_limits(tx: Tx, tenant: str) -> None:
    """Let the tenant have its plan's alone."""
    tx.execute(sa.delete(QuotaLimit).where(QuotaLimit.tenant_id == tenant, QuotaLimit.user_id == TENANT))


def forget_limits_of_user(tx: Tx, user: str) -> None:
    """Let the user have his group's plan's alone, in every tenant."""
    tx.execute(sa.delete(QuotaLimit).where(QuotaLimit.user_id == user))


def used(tx: Tx, tenant: str, user: str | None = None) -> dict[Dimension, int]:
    """What is allocated in the tenant, or by one user in it; every dimension is there."""
    return used_by_tenant(tx, [tenant], user)[tenant]


def used_by_tenant(tx: Tx, tenants: Sequence[str], user: str | None = None) -> dict[str, dict[Dimension, int]]:
    """`used` of many tenants in one query."""
    statement = sa.select(Allocation.tenant_id, Allocation.dimension, sa.func.sum(Allocation.amount)).where(
        Allocation.tenant_id.in_(tenants)
    )
    if user is not None:
        statement = statement.where(Allocation.user_id == user)
    sums: dict[str, dict[Dimension, int]] = {tenant: dict.fromkeys(Dimension, 0) for tenant in tenants}
    for tenant, dimension, amount in tx.execute(statement.group_by(Allocation.tenant_id, Allocation.dimension)):
        sums[tenant][Dimension(dimension)] = int(amount)
    return sums


def limits_by_tenant(tx: Tx, tenants: Sequence[str]) -> dict[str, dict[Dimension, int]]:
    """`limits` of many tenants, in two queries."""
    found: dict[str, dict[str, int | None]] = {tenant: {} for tenant in tenants}
    planned = sa.select(Tenant.id, Plan.limits).join(Plan, Tenant.plan_id == Plan.id).where(Tenant.id.in_(tenants))
    for tenant, limits_of_plan in tx.execute(planned):
        found[tenant].update(limits_of_plan)
    rows = tx.execute(
        sa.select(QuotaLimit.tenant_id, QuotaLimit.dimension, QuotaLimit.amount).where(
            QuotaLimit.tenant_id.in_(tenants), QuotaLimit.user_id == TENANT
        )
    )
    for tenant, dimension, amount in rows:
        found[tenant][dimension] = amount
    return {tenant: _set(amounts) for tenant, amounts in found.items()}


def limits_by_user(tx: Tx, tenant: str, users: Sequence[str]) -> dict[str, dict[Dimension, int]]:
    """`limits` of many users in the tenant, in two queries."""
    found: dict[str, dict[str, int | None]] = {user: {} for user in users}
    for limits_of_plan, user in tx.execute(_of_groups().add_columns(User.id).where(User.id.in_(users))):
        found[user].update(limits_of_plan)
    rows = tx.execute(
        sa.select(QuotaLimit.user_id, QuotaLimit.dimension, QuotaLimit.amount).where(
            QuotaLimit.tenant_id == tenant, QuotaLimit.user_id.in_(users)
        )
    )
    for user, dimension, amount in rows:
        found[user][dimension] = amount
    return {user: _set(amounts) for user, amounts in found.items()}


def used_by_user(tx: Tx, tenant: str) -> dict[tuple[str, str], dict[Dimension, int]]:
    """(user id, username) -> what his guests take."""
    rows = tx.execute(
        sa.select(Allocation.user_id, User.username, Allocation.dimension, sa.func.sum(Allocation.amount))
        .join(User, User.id == Allocation.user_id)
        .where(Allocation.tenant_id == tenant)
        .group_by(Allocation.user_id, User.username, Allocation.dimension)
    )
    sums: dict[tuple[str, str], dict[Dimension, int]] = {}
    for user, username, dimension, amount in rows:
        sums.setdefault((user, username), dict.fromkeys(Dimension, 0))[Dimension(dimension)] = int(amount)
    return sums


def at_home(
    tx: Tx, homes: Mapping[str, str]
) -> tuple[dict[str, dict[Dimension, int]], dict[str, dict[Dimension, int]]]:
    """`homes` is user -> tenant. The `limits` of each there, and what he takes there, in three queries."""
    found: dict[str, dict[str, int | None]] = {user: {} for user in homes}
    for limits_of_plan, user in tx.execute(_of_groups().add_columns(User.id)):
        if user in found:
            found[user].update(limits_of_plan)
    own = sa.select(QuotaLimit.tenant_id, QuotaLimit.user_id, QuotaLimit.dimension, QuotaLimit.amount)
    for tenant, user, dimension, amount in tx.execute(own.where(QuotaLimit.user_id != TENANT)):
        if homes.get(user) == tenant:
            found[user][dimension] = amount
    sums = {user: dict.fromkeys(Dimension, 0) for user in homes}
    group = (Allocation.tenant_id, Allocation.user_id, Allocation.dimension)
    for tenant, user, dimension, taken in tx.execute(
        sa.select(*group, sa.func.sum(Allocation.amount)).group_by(*group)
    ):
        if homes.get(user) == tenant:
            sums[user][Dimension(dimension)] = int(taken)
    return {user: _set(amounts) for user, amounts in found.items()}, sums


def allocate(tx: Tx, guest: Guest, amounts: Amounts) -> None:
    """Charge a guest's tenant and maker; a dimension the guest has already is set to the new amount."""
    there = {row.dimension: row for row in tx.scalars(sa.select(Allocation).where(Allocation.guest_id == guest.id))}
    for dimension, amount in amounts.items():
        row = there.get(dimension)
        if row is None:
            tx.add(
                Allocation(
                    guest_id=guest.id,
                    dimension=dimension,
                    tenant_id=guest.tenant_id,
                    user_id=guest.user_id,
                    amount=amount,
                )
            )
        else:
            row.amount = amount
    tx.flush()


def held(tx: Tx, tenant: str, guest: str) -> dict[Dimension, int]:
    """What one guest takes."""
    rows = tx.execute(
        sa.select(Allocation.dimension, Allocation.amount).where(
            Allocation.tenant_id == tenant, Allocation.guest_id == guest
        )
    ).all()
    return {Dimension(dimension): amount for dimension, amount in rows}


def release(tx: Tx, tenant: str, guest: str, dimensions: Sequence[Dimension] = tuple(Dimension)) -> None:
    """Give back what a guest takes; nothing happens where it takes nothing."""
    tx.execute(
        sa.delete(Allocation).where(
            Allocation.tenant_id == tenant, Allocation.guest_id == guest, Allocation.dimension.in_(dimensions)
        )
    )


def transfer(tx: Tx, guest: str, *, tenant: str, user: str) -> None:
    """What a guest takes is another tenant's, or another user's, from now on."""
    tx.execute(sa.update(Allocation).where(Allocation.guest_id == guest).values(tenant_id=tenant, user_id=user))


def _of_groups() -> sa.Select[tuple[dict[str, Any]]]:
    """What the plans of users' groups say."""
    return sa.select(Plan.limits).join(Group, Group.plan_id == Plan.id).join(User, User.group_id == Group.id)


def _set(amounts: Mapping[str, int | None]) -> dict[Dimension, int]:
    return {Dimension(dimension): amount for dimension, amount in amounts.items() if amount is not None}
