"""Somebody who looks at a tenant's ledger all the time, with a connection of his own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from app.db.models import Allocation, QuotaLimit
from app.db.quota import TENANT
from app.db.session import Database

_PAUSE = 0.002


class Watch:
    """`over`: what was seen above its limit without having been there when the limit was set; `looks`: how often."""

    def __init__(self, db: Database, tenant: str) -> None:
        self.over: list[str] = []
        self.looks = 0
        self._db = db
        self._used = (
            sa.select(QuotaLimit.user_id, QuotaLimit.dimension, QuotaLimit.amount, _sum_of_its_allocations())
            .where(QuotaLimit.tenant_id == tenant)
        )  # fmt: skip
        self._before: dict[tuple[str, str], int] = {}
        self._looking = threading.Lock()
        self._ended = threading.Event()

    def change_limits(self, change: Callable[[], None]) -> None:
        """Above a new limit may be what was there before: from then on that may only become less."""
        with self._looking:
            change()
            self._before = {whose: used for whose, _, used in self._look()}

    def run(self) -> None:
        while not self._ended.wait(_PAUSE):
            with self._looking:
                seen = self._look()
                self.over += [
                    f"{whose}: {used} of {limit}"
                    for whose, limit, used in seen
                    if used > limit and used > self._before.get(whose, 0)
                ]
                self._before = {whose: used for whose, _, used in seen}
                self.looks += 1

    def end(self) -> None:
        self._ended.set()

    def _look(self) -> list[tuple[tuple[str, str], int, int]]:
        """One statement, so that limits and use are of the same moment."""
        with self._db.read() as tx:
            rows = tx.execute(self._used).all()
        return [((user, dimension), limit, int(used)) for user, dimension, limit, used in rows]


@contextmanager
def watching(url: str, tenant: str) -> Iterator[Watch]:
    """Fails at its end where the ledger was over its limits once."""
    db = Database(url, pool_size=2)
    watch = Watch(db, tenant)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
        db.close()
    assert watch.looks > 0
    assert watch.over == [], watch.over


def _sum_of_its_allocations() -> sa.ScalarSelect[int]:
    of_limit = sa.and_(
        Allocation.tenant_id == QuotaLimit.tenant_id,
        Allocation.dimension == QuotaLimit.dimension,
        sa.or_(QuotaLimit.user_id == TENANT, Allocation.user_id == QuotaLimit.user_id),
    )
    return sa.select(sa.func.coalesce(sa.func.sum(Allocation.amount), 0)).where(of_limit).scalar_subquery()
