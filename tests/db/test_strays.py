"""Which containers are looked at: those in tenants' pools that are new or have changed, and one of the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.db import clusters, strays
from app.db.models import Cluster, Guest, InventoryGuest, Operation, Tenant
from app.db.session import Database, now
from app.domain.guests import GuestKind
from tests.db import records

REST = timedelta(minutes=1)


class World:
    """A cluster with one tenant, and what the inventory has seen in it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        with db.begin() as tx:
            self.cluster: Cluster = records.cluster(tx)
            self.tenant: Tenant = records.tenant(tx, self.cluster)
        self.rows: dict[int, dict[str, Any]] = {}

    def seen(self, vmid: int, **more: Any) -> None:
        """The next reading shows this guest so, and the others as before."""
        row = {"vmid": vmid, "kind": "ct", "name": f"c{vmid}", "node": "n1", "status": "stopped"}
        known = self.rows.get(vmid, row | {"poolid": self.tenant.poolid, "facts": {}})
        self.rows[vmid] = known | more
        with self.db.begin() as tx:
            clusters.replace(
                tx, self.cluster.id, InventoryGuest, ("vmid",), list(self.rows.values()), on_change={"looked_at": None}
            )

    def due(self, most: int = 50, rest: timedelta = REST) -> list[int]:
        with self.db.begin() as tx:
            return [one.vmid for one in strays.take_due(tx, self.cluster.id, most=most, rest=rest)]

    def one(self, vmid: int, **more: Any) -> strays.Due:
        return strays.Due(
            **{"vmid": vmid, "node": "n1", "name": "c", "running": False, "tenant": self.tenant.id} | more
        )


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def test_each_is_due_once_and_again_when_it_changed(world: World) -> None:
    world.seen(101)
    world.seen(102)
    assert world.due() == [101, 102]
    assert world.due() == []
    world.seen(103)
    assert world.due() == [103]
    for change in ({"status": "running"}, {"node": "n2"}, {"name": "x"}, {"facts": {"disk": 9}}):
        world.seen(102, **change)
        assert world.due() == [102], change
    del world.rows[101]
    world.seen(102)
    assert world.due() == []
    world.seen(101)
    assert world.due() == [101], "it was gone in between"


@pytest.mark.parametrize(
    "other", [{"kind": "vm"}, {"poolid": None}, {"poolid": "somebody-elses"}, {"status": "unknown"}], ids=str
)
def test_what_is_no_container_of_a_tenant_is_never_due(world: World, other: dict[str, Any]) -> None:
    world.seen(101, **other)
    assert world.due() == []
    world.seen(101, kind="ct", poolid=world.tenant.poolid, status="stopped")
    assert world.due() == [101]


def test_one_with_an_open_operation_waits_for_its_end(world: World) -> None:
    world.seen(101)
    with world.db.begin() as tx:
        guest = records.guest(tx, world.tenant, vmid=101, kind=GuestKind.CT)
        operation = Operation(
            id=records.new_id(), type="ct.start", version=1, state="running", tenant_id=world.tenant.id,
            guest_id=guest.id, queue="guests", lane="x", workflow="w", parameters={}, created_by="maria",
            deadline=now() + REST,
        )  # fmt: skip
        tx.add(operation)
    assert world.due() == []
    with world.db.begin() as tx:
        tx.get_one(Operation, operation.id).state = "succeeded"
    assert world.due() == [101]


def test_only_so_many_at_once_and_one_of_the_others_after_their_rest(world: World) -> None:
    for vmid in (101, 102, 103):
        world.seen(vmid)
    assert world.due(most=2) == [101, 102]
    assert world.due(most=2) == [103]
    assert world.due(rest=timedelta()) == [101]
    assert world.due(rest=timedelta()) == [102]


def test_what_was_not_seen_is_due_again(world: World) -> None:
    for vmid in (101, 102):
        world.seen(vmid)
    began = now()
    assert world.due() == [101, 102]
    with world.db.begin() as tx:
        strays.look_again(tx, world.cluster.id, [102])
    assert world.due() == [102]
    with world.db.begin() as tx:
        strays.doubt_since(tx, began)
    assert world.due() == [101, 102], "whoever took them may have died"


def test_l16_it_is_news_once_per_tenant_and_marks_our_guest(world: World) -> None:
    with world.db.begin() as tx:
        other = records.tenant(tx, world.cluster, "chemistry")
        guest = records.guest(tx, world.tenant, vmid=101, kind=GuestKind.CT)
        guest.unprivileged = True
    world.seen(101)
    for one, privileged, news in (
        (world.one(101), False, False), (world.one(101), True, True), (world.one(101), True, False),
        (world.one(101, tenant=other.id), True, True), (world.one(101), False, False), (world.one(101), True, True),
    ):  # fmt: skip
        with world.db.begin() as tx:
            found, is_news = strays.note(tx, world.cluster.id, one, privileged=privileged)
            assert found is not None
            assert is_news is news
        with world.db.read() as tx:
            row = tx.get_one(Guest, guest.id)
            assert row.unprivileged is not privileged
            assert f'"unprivileged":{str(not privileged).lower()}' in row.document
