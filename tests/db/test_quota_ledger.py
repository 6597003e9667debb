"""Quota is exact, whoever asks at the same moment: exactly as many win as there is room for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from app.db import guests, quota, tenants
from app.db.models import Allocation, Guest, Tenant, VmidClaim
from app.db.session import Database
from app.domain.errors import Conflict, QuotaExceeded
from app.domain.quota import Amounts, Dimension
from app.policy import quota as rules
from tests.db import contenders, records
from tests.db.contenders import Failed, Outcome, Refused, Wish, Won


def make_tenants(db: Database, *limits: Amounts) -> list[str]:
    """Tenants of one cluster, by their limits."""
    with db.begin() as tx:
        cluster = records.cluster(tx)
        made = [records.tenant(tx, cluster, f"tenant-{number}") for number in range(len(limits))]
        for tenant, amounts in zip(made, limits, strict=True):
            quota.set_limits(tx, tenant.id, amounts)
        return [tenant.id for tenant in made]


def winners(outcomes: Sequence[Outcome]) -> list[Won]:
    return [one for one in outcomes if isinstance(one, Won)]


def assert_ledger_is_its_guests(db: Database, tenant: str) -> None:
    """L29: what is charged is the sum over the guests that exist, and each of them has its number."""
    with db.read() as tx:
        used = quota.used(tx, tenant)
        rows = guests.of_tenant(tx, tenant)
        claims = tx.scalars(sa.select(VmidClaim.guest_id).where(VmidClaim.guest_id.in_([row.id for row in rows]))).all()
    assert used[Dimension.GUESTS] == len(rows)
    assert used[Dimension.CORES] == sum(row.cores for row in rows)
    assert used[Dimension.MEMORY] == sum(row.memory for row in rows)
    assert used[Dimension.DISK_GB] == sum(row.disk_gb for row in rows)
    assert sorted(str(claim) for claim in claims) == sorted(row.id for row in rows)


@pytest.mark.parametrize("threads", [32, 64])
@pytest.mark.parametrize(
    ("limits", "wish", "room"),
    [
        ({Dimension.GUESTS: 7}, {}, 7),
        ({Dimension.CORES: 20}, {"cores": 3}, 6),
        ({Dimension.MEMORY: 4096}, {"memory": 1000}, 4),
        ({Dimension.DISK_GB: 100, Dimension.GUESTS: 50}, {"disk_gb": 10}, 10),
        ({Dimension.NETWORKS: 0}, {}, 0),
    ],
)
def test_l23_exactly_those_win_for_whom_there_is_room(
    database: Database, threads: int, limits: Amounts, wish: dict[str, Any], room: int
) -> None:
    (tenant,) = make_tenants(database, limits)
    outcomes = contenders.create_at_once(database.url, [Wish(tenant, **wish)] * threads)
    won = winners(outcomes)
    assert len(won) == room
    assert len({one.vmid for one in won}) == room
    assert_ledger_is_its_guests(database, tenant)


def test_l23_three_processes_decide_as_one(database: Database) -> None:
    (tenant,) = make_tenants(database, {Dimension.CORES: 25, Dimension.MEMORY: 1 << 20})
    outcomes = contenders.create_in_processes(database.url, [[Wish(tenant, cores=2)] * 16] * 3)
    assert len(winners(outcomes)) == 12
    assert Counter(type(one) for one in outcomes) == {Won: 12, Refused: 36}
    assert_ledger_is_its_guests(database, tenant)


def test_l33_a_refusal_carries_the_figures_that_refused(database: Database) -> None:
    (tenant,) = make_tenants(database, {Dimension.CORES: 20, Dimension.GUESTS: 1000})
    outcomes = contenders.create_at_once(database.url, [Wish(tenant, cores=3)] * 32)
    refusals = [one for one in outcomes if isinstance(one, Refused)]
    assert len(refusals) == 26
    assert set(refusals) == {Refused("cores", limit=20, used=18, requested=3)}


def test_l34_only_a_tenants_own_use_counts(database: Database) -> None:
    """Tenants of one cluster fill up at once, and each gets all of its own room."""
    made = make_tenants(database, {Dimension.GUESTS: 3}, {Dimension.GUESTS: 5}, {Dimension.GUESTS: 4})
    outcomes = contenders.create_at_once(database.url, [Wish(tenant) for tenant in made for _ in range(16)])
    assert [one for one in outcomes if isinstance(one, Failed)] == []
    with database.read() as tx:
        assert [quota.used(tx, tenant)[Dimension.GUESTS] for tenant in made] == [3, 5, 4]
    for tenant in made:
        assert_ledger_is_its_guests(database, tenant)


def test_l36_twenty_tenants_never_meet_over_a_number(database: Database) -> None:
    made = make_tenants(database, *[{} for _ in range(20)])
    wishes = [[Wish(tenant, span=(100, 160)) for tenant in made]] * 3
    outcomes = contenders.create_in_processes(database.url, wishes)
    assert sorted(one.vmid for one in winners(outcomes)) == list(range(100, 160))


def test_l36_whoever_comes_when_all_numbers_are_taken_is_told(database: Database) -> None:
    (tenant,) = make_tenants(database, {})
    outcomes = contenders.create_at_once(database.url, [Wish(tenant, span=(100, 110))] * 32)
    assert sorted(one.vmid for one in winners(outcomes)) == list(range(100, 110))
    assert {one for one in outcomes if not isinstance(one, Won)} == {Failed("capacity.exceeded")}
    assert_ledger_is_its_guests(database, tenant)


def test_l22_a_creation_that_breaks_at_its_end_leaves_nothing(database: Database) -> None:
    (tenant,) = make_tenants(database, {Dimension.GUESTS: 5})

    def break_at_the_end() -> None:
        with database.begin() as tx:
            records.charged_guest(tx, tenants.lock(tx, tenant), range(100, 200))
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        break_at_the_end()
    with database.read() as tx:
        for model in (Guest, Allocation, VmidClaim):
            assert tx.scalar(sa.select(sa.func.count()).select_from(model)) == 0


def test_l28_what_was_given_back_can_be_taken_again_at_the_same_moment(database: Database) -> None:
    """Deletions and creations at once: never above the limit, and full at the end."""
    (tenant,) = make_tenants(database, {Dimension.GUESTS: 8})
    old = winners([contenders.create(database, Wish(tenant)) for _ in range(8)])
    over: list[int] = []
    ended = threading.Event()

    def delete(guest: str) -> None:
        with database.begin() as tx:
            tenants.lock(tx, tenant)
            guests.remove(tx, guest, rest=records.REST)

    def create_patiently() -> None:
        while isinstance(contenders.create(database, Wish(tenant)), Refused):
            pass

    def watch() -> None:
        while not ended.wait(0.002):
            with database.read() as tx:
                used = quota.used(tx, tenant)[Dimension.GUESTS]
            over.extend([used] if used > 8 else [])

    watcher = threading.Thread(target=watch)
    watcher.start()
    work: list[Callable[[], None]] = [*(partial(delete, one.guest) for one in old), *[create_patiently] * 8]
    contenders.at_once(work)
    ended.set()
    watcher.join()
    assert over == []
    with database.read() as tx:
        assert quota.used(tx, tenant)[Dimension.GUESTS] == 8
        assert {row.vmid for row in guests.of_tenant(tx, tenant)}.isdisjoint(one.vmid for one in old)
    assert_ledger_is_its_guests(database, tenant)


def test_l28_giving_back_twice_gives_back_once(database: Database) -> None:
    (tenant,) = make_tenants(database, {})
    kept, gone = winners([contenders.create(database, Wish(tenant)) for _ in range(2)])
    for _ in range(2):
        with database.begin() as tx:
            guests.remove(tx, gone.guest, rest=records.REST)
            quota.release(tx, tenant, gone.guest)
    with database.read() as tx:
        assert quota.used(tx, tenant)[Dimension.GUESTS] == 1
        assert [row.id for row in guests.of_tenant(tx, tenant)] == [kept.guest]
    assert_ledger_is_its_guests(database, tenant)


def test_l25_the_ledger_takes_no_negative_amount(database: Database) -> None:
    (tenant,) = make_tenants(database, {})
    with database.begin() as tx:
        row = records.guest(tx, tx.get_one(Tenant, tenant), 100)
    with pytest.raises(Conflict), database.begin() as tx:
        quota.allocate(tx, row, {Dimension.DISK_GB: -1})
    with database.read() as tx:
        assert quota.used(tx, tenant)[Dimension.DISK_GB] == 0


def test_l25_the_largest_amounts_add_up(database: Database) -> None:
    (tenant,) = make_tenants(database, {Dimension.MEMORY: 2**62})
    with database.begin() as tx:
        row = tx.get_one(Tenant, tenant)
        for vmid in (100, 101):
            quota.allocate(tx, records.guest(tx, row, vmid), {Dimension.MEMORY: 2**61})
        assert quota.used(tx, tenant)[Dimension.MEMORY] == 2**62


def test_l31_a_limit_below_use_refuses_growth_only(database: Database) -> None:
    (tenant,) = make_tenants(database, {})
    made = winners([contenders.create(database, Wish(tenant)) for _ in range(4)])
    with database.begin() as tx:
        tenants.lock(tx, tenant)
        quota.set_limits(tx, tenant, {Dimension.GUESTS: 2, Dimension.CORES: 0})
    assert contenders.create(database, Wish(tenant)) == Refused("guests", limit=2, used=4, requested=1)
    with database.begin() as tx:
        guests.remove(tx, made[0].guest, rest=records.REST)
        assert quota.used(tx, tenant)[Dimension.GUESTS] == 3


def test_l35_running_use_is_claimed_and_freed_apart(database: Database) -> None:
    (tenant,) = make_tenants(database, {Dimension.RUNNING_CORES: 2})
    made = winners([contenders.create(database, Wish(tenant)) for _ in range(8)])

    def start(guest: str) -> bool:
        demand = rules.of_running(cores=1, memory=512)
        try:
            with database.begin() as tx:
                tenants.lock(tx, tenant)
                rules.check(quota.limits(tx, tenant), used=quota.used(tx, tenant), demand=demand)
                quota.allocate(tx, tx.get_one(Guest, guest), demand)
                return True
        except QuotaExceeded:
            return False

    started = contenders.at_once([partial(start, one.guest) for one in made])
    assert sum(started) == 2
    running = made[started.index(True)].guest
    with database.begin() as tx:
        quota.release(tx, tenant, running, (Dimension.RUNNING_CORES, Dimension.RUNNING_MEMORY))
        used = quota.used(tx, tenant)
    assert (used[Dimension.RUNNING_CORES], used[Dimension.RUNNING_MEMORY], used[Dimension.GUESTS]) == (1, 512, 8)
    assert start(running)


def test_a_members_own_limit_counts_only_his_guests(database: Database) -> None:
    (tenant,) = make_tenants(database, {})
    with database.begin() as tx:
        row = tx.get_one(Tenant, tenant)
        maria, paul = records.user(tx, "maria"), records.user(tx, "paul")
        quota.set_limits(tx, tenant, {Dimension.GUESTS: 1}, maria.id)
        records.charged_guest(tx, row, range(100, 200), user=maria.id)
        for _ in range(2):
            records.charged_guest(tx, row, range(100, 200), user=paul.id)
        assert quota.limits(tx, tenant) == {}
        assert quota.limits(tx, tenant, maria.id) == {Dimension.GUESTS: 1}
        assert quota.used(tx, tenant, maria.id)[Dimension.GUESTS] == 1
        assert {name: used[Dimension.GUESTS] for (_, name), used in quota.used_by_user(tx, tenant).items()} == {
            "maria": 1,
            "paul": 2,
        }
