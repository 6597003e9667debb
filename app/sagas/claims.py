"""Growth: checked against the limits and charged, in the transaction that asks for it; its tenant is locked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from app.db import quota
from app.db.models import Guest
from app.db.session import Tx, rehearsal_of
from app.domain.errors import QuotaExceeded
from app.domain.quota import Amounts
from app.policy import quota as quota_rules


def claim(tx: Tx, row: Guest, wanted: Amounts) -> None:
    """Let the guest hold at least this much. Raises QuotaExceeded."""
    held = quota.held(tx, row.tenant_id, row.id)
    growth = quota_rules.growth(held, wanted)
    check(tx, row.tenant_id, row.user_id, growth)
    quota.allocate(tx, row, {dimension: held.get(dimension, 0) + amount for dimension, amount in growth.items()})


def check(tx: Tx, tenant: str, user: str, demand: Amounts) -> None:
    """The tenant's limits, then the maker's own in it."""
    with _noted(tx):
        quota_rules.check(quota.limits(tx, tenant), used=quota.used(tx, tenant), demand=demand)
    own = quota.limits(tx, tenant, user)
    if own:
        with _noted(tx):
            quota_rules.check(own, used=quota.used(tx, tenant, user), demand=demand, whose="user")


@contextmanager
def _noted(tx: Tx) -> Iterator[None]:
    """A rehearsal goes on, to tell all that would be refused."""
    try:
        yield
    except QuotaExceeded as error:
        rehearsal = rehearsal_of(tx)
        if rehearsal is None:
            raise
        rehearsal.violations.append(error)
