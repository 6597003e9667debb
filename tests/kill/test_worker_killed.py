"""The worker is killed with -9 in the middle of its work; whoever comes after leaves the world in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
        wait_for(lambda operation=operation: caller.get(operation).get_json()["state"] in FINAL, within=60)
        ended.append(caller.get(operation).get_json())
    return ended


def check_world(house: House, tenant: dict[str, Any], member: Caller) -> None:
    """Nothing unowned in PVE, nothing owned that is not there, and the ledger equals the sum of the guests."""
    rows = [g for kind in ("cts", "vms") for g in member.get(f"/proxmox/{kind}?limit=1000").get_json()["data"]]
    in_pool = house.pve.members(tenant["poolid"])
    ours = {g["vmid"] for g in house.pve.guests() if 10_000 <= g["vmid"] < 20_000}
    elsewhere = {
        vmid for t in house.admin().get("/tenants?limit=1000").get_json()["data"] if t["id"] != tenant["id"]
        for vmid in house.pve.members(t["poolid"])
    }  # fmt: skip
    assert {g["vmid"] for g in rows} == in_pool
    assert ours - elsewhere == in_pool
    usage = member.get(f"/tenants/{tenant['id']}").get_json()["usage"]
    assert usage["guests"] == len(rows)
    assert usage["memory"] == sum(g["memory"] for g in rows)
    assert usage["disk_gb"] == sum(g["disk_gb"] for g in rows)
    owned = {f"vm-{g['vmid']}-" for g in rows}
    for node in ("n1", "n2"):
        for volume in house.pve.get(f"/nodes/{node}/storage/local-lvm/content"):
            if 10_000 <= volume.get("vmid", 0) < 20_000 and volume["vmid"] not in elsewhere:
                assert any(mark in volume["volid"] for mark in owned), volume


@pytest.mark.parametrize("kind", ["cts", "vms"])
@pytest.mark.parametrize("after", [0.0, 0.15, 0.3, 0.6, 1.0])
def test_killed_in_the_middle_of_a_creation(slow_house: House, kind: str, after: float) -> None:
    """L39: the guest is there once, or gone without trace, and the quota agrees."""
    house = slow_house
    tenant = house.make_tenant({"guests": 10})
    member = house.make_member(tenant)
    body = container(start=True) if kind == "cts" else vm(start=True)
    accepted = member.post(f"/proxmox/{kind}", body)
    assert accepted.status_code == 202
    time.sleep(after)
    house.kill_worker(house.workers[0])
    house.start_worker()
    ended = settle(member, [accepted.headers["Location"].removeprefix("/api")])
    check_world(house, tenant, member)
    assert ended[0]["state"] == "succeeded", ended[0]["error"]


def test_a_second_worker_takes_over(slow_house: House) -> None:
    """L119: within its lease time, and each guest once."""
    house = slow_house
    tenant = house.make_tenant({"guests": 30})
    member = house.make_member(tenant)
    second = house.start_worker()
    posted = [member.post("/proxmox/cts", container()) for _ in range(20)]
    where = [answer.headers["Location"].removeprefix("/api") for answer in posted]
    time.sleep(0.8)
    house.kill_worker(next(worker for worker in house.workers if worker is not second))
    ended = settle(member, where)
    assert [operation["state"] for operation in ended] == ["succeeded"] * 20
    check_world(house, tenant, member)


def test_killed_while_a_tenant_is_built_and_while_it_goes(slow_house: House) -> None:
    house = slow_house
    for delay in (0.05, 0.25, 0.5):
        accepted = house.admin().post("/tenants", {"name": f"killed {delay} {time.time_ns()}"})
        time.sleep(delay)
        house.kill_worker(house.workers[0])
        house.start_worker()
        (made,) = settle(house.admin(), [accepted.headers["Location"].removeprefix("/api")])
        assert made["state"] == "succeeded", made["error"]
        tenant = made["result"]["tenant"]
        member = house.make_member(tenant)
        member.done("POST", "/proxmox/cts", container(start=True))
        gone = house.admin().delete(f"/tenants/{tenant['id']}?cascade=true")
        time.sleep(delay)
        house.kill_worker(house.workers[0])
        house.start_worker()
        (ended,) = settle(house.admin(), [gone.headers["Location"].removeprefix("/api")])
        assert ended["state"] == "succeeded", ended["error"]
        assert tenant["poolid"] not in [p["poolid"] for p in house.pve.get("/pools")]
        assert tenant["pve_user"] not in [u["userid"] for u in house.pve.get("/access/users")]


def test_a_key_makes_one_guest_over_a_crash(slow_house: House, tmp_path: Path) -> None:
    """L50."""
    house = slow_house
    tenant = house.make_tenant({"guests": 3})
    member = house.make_member(tenant)
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
