"""Any history of creations, growth, starts, stops, deletions and changed limits: the ledger is what a sum would say."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import guests, quota, tenants
from app.db.models import Cluster, Guest, Tenant
from app.db.session import Database, Tx
from app.domain.errors import QuotaExceeded
from app.domain.quota import Dimension
from app.policy import quota as rules
from tests.db import records

SPAN = range(100, 10_000)
LIMITED = st.sampled_from([Dimension.GUESTS, Dimension.CORES, Dimension.RUNNING_CORES])

moves = st.one_of(
    st.tuples(st.just("create"), st.integers(1, 4)),
    st.tuples(st.just("grow"), st.integers(1, 3)),
    st.tuples(st.just("shrink"), st.integers(1, 3)),
    st.tuples(st.just("start"), st.just(0)),
    st.tuples(st.just("stop"), st.just(0)),
    st.tuples(st.just("delete"), st.just(0)),
    st.tuples(st.just("limit"), st.tuples(LIMITED, st.none() | st.integers(0, 10))),
)


@dataclass
class Books:
    """What should be: guest -> (cores, runs)."""

    limits: dict[Dimension, int] = field(default_factory=dict)
    guests: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def used(self, dimension: Dimension) -> int:
        sizes = self.guests.values()
        return {
            Dimension.GUESTS: len(self.guests),
            Dimension.CORES: sum(cores for cores, _ in sizes),
            Dimension.RUNNING_CORES: sum(cores for cores, runs in sizes if runs),
        }[dimension]

    def has_room(self, **demand: int) -> bool:
        return all(
            self.used(Dimension(name)) + asked <= self.limits.get(Dimension(name), 1 << 40)
            for name, asked in demand.items()
        )


def checked(tx: Tx, tenant: str, demand: dict[Dimension, int]) -> bool:
    try:
        rules.check(quota.limits(tx, tenant), used=quota.used(tx, tenant), demand=demand)
    except QuotaExceeded:
        return False
    return True


def create(tx: Tx, tenant: Tenant, books: Books, cores: int) -> None:
    allowed = checked(tx, tenant.id, dict(rules.of_guest(cores=cores, memory=512, disk_gb=8)))
    assert allowed == books.has_room(guests=1, cores=cores)
    if allowed:
        made = records.charged_guest(tx, tenant, SPAN, cores=cores)
        books.guests[made.id] = (cores, False)


def resize(tx: Tx, tenant: Tenant, books: Books, guest: str, change: int) -> None:
    cores, runs = books.guests[guest]
    change = max(change, 1 - cores)
    demand = {"cores": change, **({"running_cores": change} if runs else {})}
    allowed = checked(tx, tenant.id, {Dimension(name): amount for name, amount in demand.items()})
    assert allowed == (change <= 0 or books.has_room(**demand))  # what lowers use always passes: L31
    if allowed:
        row = tx.get_one(Guest, guest)
        row.cores = cores + change
        held = quota.held(tx, tenant.id, guest)
        quota.allocate(tx, row, {Dimension(name): held[Dimension(name)] + amount for name, amount in demand.items()})
        books.guests[guest] = (cores + change, runs)


def start(tx: Tx, tenant: Tenant, books: Books, guest: str) -> None:
    cores, runs = books.guests[guest]
    if runs:
        return
    allowed = checked(tx, tenant.id, {Dimension.RUNNING_CORES: cores})
    assert allowed == books.has_room(running_cores=cores)
    if allowed:
        quota.allocate(tx, tx.get_one(Guest, guest), {Dimension.RUNNING_CORES: cores})
        books.guests[guest] = (cores, True)


def stop(tx: Tx, tenant: Tenant, books: Books, guest: str) -> None:
    quota.release(tx, tenant.id, guest, (Dimension.RUNNING_CORES,))
    books.guests[guest] = (books.guests[guest][0], False)


def delete(tx: Tx, books: Books, guest: str) -> None:
    guests.remove(tx, guest, rest=records.REST)
    del books.guests[guest]


def move(tx: Tx, tenant: Tenant, books: Books, kind: str, value: int) -> None:
    if kind == "create":
        create(tx, tenant, books, value)
        return
    if not books.guests:
        return
    guest = min(books.guests)
    match kind:
        case "grow":
            resize(tx, tenant, books, guest, value)
        case "shrink":
            resize(tx, tenant, books, guest, -value)
        case "start":
            start(tx, tenant, books, guest)
        case "stop":
            stop(tx, tenant, books, guest)
        case "delete":
            delete(tx, books, guest)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(moves, max_size=14))
def test_l29_the_ledger_is_the_sum_of_its_guests_after_any_history(
    database: Database, history: list[tuple[str, int | tuple[Dimension, int | None]]]
) -> None:
    name = uuid.uuid4().hex
    with database.begin() as tx:
        cluster = tx.query(Cluster).first() or records.cluster(tx)
        tenant = records.tenant(tx, cluster, name).id
    books = Books()
    for kind, value in history:
        with database.begin() as tx:
            row = tenants.lock(tx, tenant)
            if isinstance(value, tuple):
                quota.set_limits(tx, tenant, dict([value]))
                books.limits = quota.limits(tx, tenant)
            else:
                move(tx, row, books, kind, value)
            used = quota.used(tx, tenant)
            assert {d: used[d] for d in (Dimension.GUESTS, Dimension.CORES, Dimension.RUNNING_CORES)} == {
                d: books.used(d) for d in (Dimension.GUESTS, Dimension.CORES, Dimension.RUNNING_CORES)
            }
