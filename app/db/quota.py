"""The ledger: limits, and what is allocated. Every function takes the tenant first.

Whoever changes allocations has locked the tenant (`tenants.lock`) in the same transaction, so the sum that decides is
the sum that stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from app.db.models import Allocation, Guest, QuotaLimit, User
from app.db.session import Tx
from app.domain.quota import Amounts, Dimension

TENANT = ""


def limits(tx: Tx, tenant: str, user: str = TENANT) -> dict[Dimension, int]:
    """The limits of the tenant, or of one user in it; a dimension that is absent is unlimited."""
    rows = tx.execute(
        sa.select(QuotaLimit.dimension, QuotaLimit.amount).where(
            QuotaLimit.tenant_id == tenant, QuotaLimit.user_id == user
        )
    ).all()
    return {Dimension(dimension): amount for dimension, amount in rows}


def set_limits(tx: Tx, tenant: str, changes: Mapping[Dimension, int | None], user: str = TENANT) -> None:
    """Change the named dimensions; None lifts a limit."""
    for dimension, amount in changes.items():
        tx.execute(
            sa.delete(QuotaLimit).where(
                QuotaLimit.tenant_id == tenant, QuotaLimit.user_id == user, QuotaLimit.dimension == dimension
            )
        )
        if amount is not None:
            tx.add(QuotaLimit(tenant_id=tenant, user_id=user, dimension=dimension, amount=amount))
    tx.flush()


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
    """`limits` of many tenants in one query."""
    found: dict[str, dict[Dimension, int]] = {tenant: {} for tenant in tenants}
    rows = tx.execute(
        sa.select(QuotaLimit.tenant_id, QuotaLimit.dimension, QuotaLimit.amount).where(
            QuotaLimit.tenant_id.in_(tenants), QuotaLimit.user_id == TENANT
        )
    )
    for tenant, dimension, amount in rows:
        found[tenant][Dimension(dimension)] = amount
    return found


def limits_by_user(tx: Tx, tenant: str) -> dict[str, dict[Dimension, int]]:
    """User id -> his own limits in the tenant; who has none is absent."""
    found: dict[str, dict[Dimension, int]] = {}
    rows = tx.execute(
        sa.select(QuotaLimit.user_id, QuotaLimit.dimension, QuotaLimit.amount).where(
            QuotaLimit.tenant_id == tenant, QuotaLimit.user_id != TENANT
        )
    )
    for user, dimension, amount in rows:
        found.setdefault(user, {})[Dimension(dimension)] = amount
    return found


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
