"""Many operations of one tenant, and their worker killed with -9 at no particular moment; what step it is in for each
of them is the matrix's matter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import world
from tests.house import Caller, House, container, vm, wait_for
from tests.lab.process import LabProcess

FINAL = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def slow_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A lab whose tasks take some tenths of a second, so that there is a middle to be killed in."""
    lab = LabProcess.start(state="demo", time_scale=0.2)
    house = House.start(tmp_path_factory.mktemp("kill"), lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


def settle(caller: Caller, operations: list[str]) -> list[dict[str, Any]]:
    """All of them in a final state."""
    ended = []
    for operation in operations:
        wait_for(lambda operation=operation: caller.get(operation).get_json()["state"] in FINAL, within=120)
        ended.append(caller.get(operation).get_json())
    return ended


@pytest.mark.parametrize("takes_over", [False, True], ids=["restart", "second worker"])
def test_killed_in_the_middle_of_many_creations(slow_house: House, takes_over: bool) -> None:
    """L39, L119: each guest is there once, after a restart as after another worker has taken over."""
    house = slow_house
    member = house.make_member(house.make_tenant({"guests": 30}))
    (first,) = house.workers
    if takes_over:
        house.start_worker()
    posted = [member.post("/proxmox/cts", container(start=True)) for _ in range(14)]
    posted += [member.post("/proxmox/vms", vm(start=True)) for _ in range(6)]
    where = [answer.headers["Location"].removeprefix("/api") for answer in posted]
    time.sleep(0.8)
    house.kill_worker(first)
    if not takes_over:
        house.start_worker()
    assert [operation["state"] for operation in settle(member, where)] == ["succeeded"] * 20
    wait_for(lambda: not world.disorder(house), within=20)


def test_a_key_makes_one_guest_over_a_crash(slow_house: House) -> None:
    """L50."""
    house = slow_house
    member = house.make_member(house.make_tenant({"guests": 3}))
    body = container()
    first = member.post("/proxmox/cts", body, Idempotency_Key="the same key")
    house.kill_worker(house.workers[0])
    house.start_worker()
    second = member.post("/proxmox/cts", body, Idempotency_Key="the same key")
    assert second.status_code in (200, 202)
    assert second.headers["Location"] == first.headers["Location"]
    settle(member, [first.headers["Location"].removeprefix("/api")])
    assert member.get("/proxmox/cts").get_json()["count"] == 1
    other = member.post("/proxmox/cts", container(), Idempotency_Key="the same key")
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency.mismatch")
