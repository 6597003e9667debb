"""L122: what whoever administers the cluster does behind our back is noticed, told, charged, and can be put right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import Caller, House, container, wait_for
from tests.lab.process import LabProcess
from tests.privilege.planting import Planter, rounds


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of these tests' own: its cluster is taken away, and its worker killed."""
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("drifting"), lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


@pytest.fixture(scope="module")
def planter(drifting: House) -> Planter:
    return Planter(drifting)


@pytest.fixture
def tenant(drifting: House) -> dict[str, Any]:
    return drifting.make_tenant()


@pytest.fixture
def member(drifting: House, tenant: dict[str, Any]) -> Caller:
    return drifting.make_member(tenant)


def make(member: Caller, kind: str = "ct", **more: Any) -> dict[str, Any]:
    body = container(**more) if kind == "ct" else {"name": "v", "memory": 128, "cores": 1, "disk_gb": 1, **more}
    guest: dict[str, Any] = member.done("POST", f"/proxmox/{kind}s", body)["result"]["guest"]
    return guest


def path_of(guest: dict[str, Any]) -> str:
    return f"/proxmox/{guest['kind']}s/{guest['id']}"


def in_pve(guest: dict[str, Any]) -> str:
    return f"/nodes/{guest['node']}/{'lxc' if guest['kind'] == 'ct' else 'qemu'}/{guest['vmid']}"


def take_out(house: House, guest: dict[str, Any]) -> None:
    """Out of its pool, by root."""
    house.pve.put("/pools", poolid=guest["poolid"], vms=guest["vmid"], delete=1)


def usage(house: House, tenant: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = house.admin().get(f"/tenants/{tenant['id']}/usage").get_json()
    return found


# -- what is believed


def test_l43_a_listing_without_rights_is_not_believed(drifting: House, member: Caller) -> None:
    """PVE answers an identity without rights with 200 and next to nothing."""
    guest = make(member)
    rounds(drifting, 2)
    seen = member.get(path_of(guest)).get_json()["observed_at"]
    token = "/access/users/root@pam/token/poolhouse"
    drifting.pve.put(token, privsep=1)
    try:
        wait_for(lambda: drifting.anonymous().get("/ready").status_code == 503)
        rounds(drifting, 3)
        shown = member.get(path_of(guest)).get_json()
        assert shown["state"] == "stopped"
        assert drifting.anonymous().get("/ready").get_json()["parts"]["cluster"] == "down"
    finally:
        drifting.pve.put(token, privsep=0)
    wait_for(lambda: drifting.anonymous().get("/ready").status_code == 200)
    assert member.get(path_of(guest)).get_json()["observed_at"] > seen


def test_l43_refused_is_not_absent(drifting: House, member: Caller, tenant: dict[str, Any]) -> None:
    """Two readings did without it, but PVE would not say of its config that it is gone."""
    guest = make(member, start=True)
    reading = {"method": "GET", "path": f"{in_pve(guest)}/config", "user": "root@pam!"}
    text = "Permission check failed (/vms/1, VM.Audit)"
    with drifting.pve.fault(**reading, kind="refuse", status=403, text=text):
        drifting.pve.delete(f"{in_pve(guest)}?force=1")
        rounds(drifting, 4)
        assert member.get(path_of(guest)).get_json()["state"] == "running"
    wait_for(lambda: member.get(path_of(guest)).get_json()["state"] == "missing")
    assert usage(drifting, tenant)["running"] == {"cores": 0, "memory": 0}
    assert usage(drifting, tenant)["allocated"]["memory"] == 128, "it may be put back"
    member.done("DELETE", path_of(guest))
    assert usage(drifting, tenant)["allocated"]["memory"] == 0


# -- work on a guest that has left its pool


def test_power_on_guests_that_left_their_pool_meanwhile_fails_and_gives_back(
    drifting: House, member: Caller, tenant: dict[str, Any]
) -> None:
    """Accepted, and carried out after somebody took them out: PVE refuses the tenant, and the undo still ends."""
    made = {action: make(member, start=action != "start") for action in ("start", "stop", "reboot")}
    end_workers(drifting)
    operations = {}
    for action, guest in made.items():
        answer = member.post(f"{path_of(guest)}/{action}")
        assert answer.status_code == 202
        operations[action] = answer.get_json()["id"]
        take_out(drifting, guest)
    drifting.start_worker()
    for action, guest in made.items():
        operation = ended(member, operations[action])
        assert (operation["state"], operation["error"]["code"]) == ("failed", "pve.refused")
        shown = member.get(path_of(guest)).get_json()["state"]
        assert shown == ("stopped" if action == "start" else "running")
    assert usage(drifting, tenant)["running"] == {"cores": 2, "memory": 256}


def end_workers(house: House) -> None:
    """In good order: their work is not waited for."""
    for worker in list(house.workers):
        worker.terminate()
        worker.wait(20)
        house.workers.remove(worker)


def ended(caller: Caller, operation: str) -> dict[str, Any]:
    """The operation in its final state."""

    def final() -> dict[str, Any] | None:
        found: dict[str, Any] = caller.get(f"/operations/{operation}").get_json()
        return found if found["state"] in ("succeeded", "failed", "stuck", "cancelled") else None

    found: dict[str, Any] = wait_for(final)
    return found
