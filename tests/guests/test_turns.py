"""Whoever wants much does not stand in the way of others (L116)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house import Caller, House, vm, wait_for
from tests.lab.process import LabProcess


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A lab whose clones take a moment."""
    lab = LabProcess.start(state="demo", time_scale=0.2)
    house = House.start(tmp_path_factory.mktemp("turns"), lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


def _clones(house: House) -> list[str]:
    """Who asked for a clone, in PVE's order."""
    return [call["user"] for call in house.calls() if call["path"].endswith("/clone")]


def _clone(member: Caller) -> str:
    answer = member.post("/proxmox/vms", vm(template="debian-12-vm", disk_gb=2))
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return str(answer.headers["Location"]).removeprefix("/api")


def test_one_clone_among_many_of_another_waits_for_one_at_most(house: House) -> None:
    """PVE clones onto a storage one after another: here a tenant has one there at a time."""
    greedy, modest = (house.make_member(house.make_tenant()) for _ in range(2))
    many = [_clone(greedy) for _ in range(12)]
    wait_for(lambda: len(_clones(house)) >= 2)
    before = len(_clones(house))
    one = _clone(modest)
    assert modest.get(one).get_json()["queue_position"] in (None, 1)
    assert greedy.get(many[-1]).get_json()["queue_position"] > 1
    wait_for(lambda: modest.get(one).get_json()["state"] == "succeeded", within=60)
    users = _clones(house)
    own = next(number for number, user in enumerate(users) if user != users[0])
    assert own <= before + 2
    for operation in many:
        wait_for(lambda operation=operation: greedy.get(operation).get_json()["state"] == "succeeded", within=120)
    begun = [greedy.get(operation).get_json()["started_at"] for operation in many]
    assert begun == sorted(begun), "a lane's operations were not taken in the order in which they were asked for"
