"""Snapshots of guests of both kinds: PVE has them, the quota counts them, a rollback is charged before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guests.test_change import KINDS, PVE_KIND, allocated, make
from tests.house import Caller, House


def take(caller: Caller, kind: str, guest: dict[str, Any], **body: Any) -> dict[str, Any]:
    return caller.done("POST", f"/proxmox/{kind}/{guest['id']}/snapshots", {"name": "before", **body})


def shown(caller: Caller, kind: str, guest: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = caller.get(f"/proxmox/{kind}/{guest['id']}/snapshots").get_json()["data"]
    return rows


def in_pve(house: House, kind: str, guest: dict[str, Any]) -> dict[str, Any]:
    rows = house.pve.get(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/snapshot")
    return {row["name"]: row for row in rows if row["name"] != "current"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_is_taken_shown_counted_and_removed(house: House, kind: str) -> None:
    tenant = house.make_tenant({"snapshots": 2})
    member = house.make_member(tenant)
    guest = make(member, kind)
    take(member, kind, guest, description="two lines\nof text")
    take(member, kind, guest, name="after")
    second, first = sorted(shown(member, kind, guest), key=lambda one: str(one["name"]))  # taken in one second, perhaps
    assert (first["name"], first["description"], first["parent"]) == ("before", "two lines\nof text", None)
    assert (second["name"], second["parent"], second["state"]) == ("after", "before", "ready")
    assert in_pve(house, kind, guest).keys() == {"before", "after"}
    assert allocated(member, tenant)["snapshots"] == 2
    refused = member.post(f"/proxmox/{kind}/{guest['id']}/snapshots", {"name": "more"})
    assert (refused.status_code, refused.get_json()["dimension"]) == (403, "snapshots")
    taken = member.post(f"/proxmox/{kind}/{guest['id']}/snapshots", {"name": "before"})
    assert (taken.status_code, taken.get_json()["code"]) == (409, "snapshot.exists")
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}/snapshots/before")
    (left,) = shown(member, kind, guest)
    assert (left["name"], left["parent"]) == ("after", None)
    assert allocated(member, tenant)["snapshots"] == 1
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}")
    assert allocated(member, tenant)["snapshots"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_shows_at_once_what_was_asked_for_and_costs_pve_nothing(house: House, member: Caller, kind: str) -> None:
    guest = make(member, kind)
    house.lab.stop_time()
    try:
        begun = member.post(f"/proxmox/{kind}/{guest['id']}/snapshots", {"name": "before"})
        assert begun.status_code == 202
        mark = house.pve.mark()
        assert [(one["name"], one["state"]) for one in shown(member, kind, guest)] == [("before", "creating")]
        assert not [call for call in house.pve.calls(mark) if call["method"] == "GET" and "snapshot" in call["path"]]
    finally:
        house.lab.run_time(0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_brings_size_and_name_back_and_a_guest_that_ran_runs_again(
    member: Caller, tenant: dict[str, Any], kind: str
) -> None:
    guest = make(member, kind, memory=256, start=True)
    take(member, kind, guest)
    member.done("PATCH", f"/proxmox/{kind}/{guest['id']}", {"memory": 128, "name": "renamed"})
    before = allocated(member, tenant)
    back = member.done("POST", f"/proxmox/{kind}/{guest['id']}/snapshots/before/rollback")["result"]["guest"]
    assert (back["memory"], back["name"], back["state"]) == (256, guest["name"], "running")
    after = allocated(member, tenant)
    assert after["memory"] == before["memory"] + 128
    assert after["running_memory"] - before["running_memory"] == (128 if kind == "cts" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_to_a_size_beyond_the_quota_is_refused_and_nothing_happens(house: House, kind: str) -> None:
    tenant = house.make_tenant({"memory": 256})
    member = house.make_member(tenant)
    guest = make(member, kind, memory=256)
    take(member, kind, guest)
    member.done("PATCH", f"/proxmox/{kind}/{guest['id']}", {"memory": 128})
    make(member, kind, memory=128)
    mark = house.pve.mark()
    refused = member.post(f"/proxmox/{kind}/{guest['id']}/snapshots/before/rollback")
    assert (refused.status_code, refused.get_json()["dimension"]) == (403, "memory")
    assert house.pve.writes(mark) == []


def test_a_container_without_a_limit_of_cores_stays_charged_for_all_it_has(
    house: House, member: Caller, tenant: dict[str, Any]
) -> None:
    """Somebody took the limit away in PVE; a snapshot's configuration has none, too."""
    guest = make(member, "cts")
    path = f"/nodes/{guest['node']}/lxc/{guest['vmid']}"
    house.pve.put(f"{path}/config", delete="cores")
    house.pve.post(f"{path}/snapshot", snapname="manual")
    take(member, "cts", guest)
    rows = {one["name"]: one["cores"] for one in shown(member, "cts", guest)}
    charged = allocated(member, tenant)["cores"]
    back = member.done("POST", f"/proxmox/cts/{guest['id']}/snapshots/manual/rollback")["result"]["guest"]
    assert back["cores"] >= 1
    assert set(rows.values()) <= {1, back["cores"]}
    assert allocated(member, tenant)["cores"] >= charged


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_the_name_in_pve_already_is_left_alone(house: House, member: Caller, kind: str) -> None:
    guest = make(member, kind)
    house.pve.post(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/snapshot", snapname="before")
    answer = member.post(f"/proxmox/{kind}/{guest['id']}/snapshots", {"name": "before"}, wait=60)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "snapshot.exists"), answer.get_data(as_text=True)
    assert in_pve(house, kind, guest).keys() == {"before"}
    assert [one["name"] for one in shown(member, kind, guest)] == ["before"]


def test_a_vm_s_memory_is_kept_and_comes_back_running(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    guest = make(member, "vms", start=True)
    take(member, "vms", guest, vmstate=True)
    assert shown(member, "vms", guest)[0]["vmstate"] is True
    member.done("POST", f"/proxmox/vms/{guest['id']}/stop", {"force": True})
    before = allocated(member, tenant)["running_memory"]
    back = member.done("POST", f"/proxmox/vms/{guest['id']}/snapshots/before/rollback")["result"]["guest"]
    assert back["state"] == "running"
    assert allocated(member, tenant)["running_memory"] == before + 128


def test_a_container_has_no_memory_to_keep(member: Caller) -> None:
    guest = make(member, "cts")
    answer = member.post(f"/proxmox/cts/{guest['id']}/snapshots", {"name": "before", "vmstate": True})
    assert answer.status_code == 422
    assert "vmstate" in answer.get_json()["errors"]


@pytest.mark.parametrize("name", ["a", "1st", "with blank", "current", "pending", "vzdump", "x" * 41, "ümlaut", "", 7])
def test_names_are_as_pve_takes_them(member: Caller, name: Any) -> None:
    guest = member.get("/proxmox/cts").get_json()["data"][0]
    answer = member.post(f"/proxmox/cts/{guest['id']}/snapshots", {"name": name})
    assert answer.status_code == 422
    assert "name" in answer.get_json()["errors"]


def test_a_snapshot_made_behind_our_back_is_counted_with_the_next_look(
    house: House, member: Caller, tenant: dict[str, Any]
) -> None:
    guest = make(member, "cts")
    before = allocated(member, tenant)["snapshots"]
    house.pve.post(f"/nodes/{guest['node']}/lxc/{guest['vmid']}/snapshot", snapname="manual")
    take(member, "cts", guest)
    assert {one["name"] for one in shown(member, "cts", guest)} == {"manual", "before"}
    assert allocated(member, tenant)["snapshots"] == before + 2


# -- the buttons of a VM


def test_a_vm_is_frozen_goes_on_and_is_reset(member: Caller, tenant: dict[str, Any]) -> None:
    guest = make(member, "vms", start=True)
    for button, state in (("suspend", "paused"), ("suspend", "paused"), ("resume", "running"), ("resume", "running"),
                          ("reset", "running")):  # fmt: skip
        operation = member.done("POST", f"/proxmox/vms/{guest['id']}/{button}")
        assert operation["result"]["guest"]["state"] == state, button


@pytest.mark.parametrize("button", ["suspend", "resume", "reset"])
def test_a_stopped_vm_and_a_container_have_no_such_buttons(member: Caller, button: str) -> None:
    answer = member.post(f"/proxmox/vms/{make(member, 'vms')['id']}/{button}", wait=60)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.not_running")
    answer = member.post(f"/proxmox/cts/{make(member, 'cts', start=True)['id']}/{button}", wait=60)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.unsupported")
