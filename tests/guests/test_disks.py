"""Disks of guests of both kinds: attached, grown, moved, detached; charged exactly for what is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.guests.test_change import KINDS, PVE_KIND, allocated, behind_our_back, config, make
from tests.house import Caller, House

ROOT = {"cts": "rootfs", "vms": "scsi0"}
SECOND = {"cts": "mp0", "vms": "scsi1"}
NEW: dict[str, dict[str, Any]] = {"cts": {"size_gb": 2, "path": "/srv/data"}, "vms": {"size_gb": 2}}


@pytest.fixture(scope="module")
def vault(house: House) -> Iterator[str]:
    with house.another_storage() as name:
        yield name


@pytest.fixture(scope="module")
def tenant(house: House, vault: str) -> dict[str, Any]:
    return house.make_tenant({"disk_gb": 12}, storages=["local", "local-lvm", vault])


def path_of(kind: str, guest: dict[str, Any], tail: str = "") -> str:
    return f"/proxmox/{kind}/{guest['id']}/disks{tail}"


def shown(caller: Caller, kind: str, guest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in caller.get(path_of(kind, guest)).get_json()["data"]}


def volumes(house: House, guest: dict[str, Any]) -> set[str]:
    return {one["volid"] for one in house.pve.state()["volumes"].values() if one["vmid"] == guest["vmid"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_comes_grows_moves_and_goes_and_is_charged_for_as_long_as_it_is_there(
    house: House, member: Caller, tenant: dict[str, Any], vault: str, kind: str
) -> None:
    """All of it on one guest; every refusal in between leaves PVE and the ledger as they were."""
    guest = make(member, kind, storage="local-lvm")
    before, names = allocated(member, tenant)["disk_gb"], (ROOT[kind], SECOND[kind])
    mark = house.pve.mark()
    (root,) = shown(member, kind, guest).values()
    own = f"{tenant['pve_user']}!poolhouse"
    assert [call["method"] for call in house.pve.calls(mark) if call["user"] == own] == ["GET"]
    assert (root["name"], root["size_gb"], root["storage"], root["boot"]) == (names[0], 1, "local-lvm", True)

    done = member.done("POST", path_of(kind, guest), {**NEW[kind], "storage": "local-lvm"})["result"]
    assert (done["disk"], done["pending"], done["guest"]["disk_gb"]) == (names[1], [], 3)
    made = shown(member, kind, guest)[names[1]]
    assert (made["size_gb"], made["storage"], made["boot"]) == (2, "local-lvm", False)
    assert made["path"] == NEW[kind].get("path")
    assert allocated(member, tenant)["disk_gb"] == before + 2

    disk = path_of(kind, guest, f"/{names[1]}")
    stood, mark = config(house, kind, guest), house.pve.mark()
    for method, where, body, told in (
        ("PUT", disk, {"size_gb": 1}, (422, "validation.failed")),
        ("PUT", disk, {"size_gb": 40}, (403, "quota.exceeded")),
        ("POST", path_of(kind, guest), {**NEW[kind], "size_gb": 40}, (403, "quota.exceeded")),
        ("POST", path_of(kind, guest), {**NEW[kind], "storage": "local"}, (422, "validation.failed")),
        ("POST", f"{disk}/move", {"storage": "local"}, (422, "validation.failed")),
        ("DELETE", path_of(kind, guest, f"/{ROOT[kind]}"), None, (409, "disk.boots")),
        ("DELETE", path_of(kind, guest, "/sata5"), None, (404, "not_found")),
        ("PUT", path_of(kind, guest, "/unused0"), {"size_gb": 3}, (404, "not_found")),
    ):
        answer = member.send(method, where, body)
        assert (answer.status_code, answer.get_json()["code"]) == told, (method, where, answer.get_json())
    assert house.pve.writes(mark) == []
    assert (config(house, kind, guest), allocated(member, tenant)["disk_gb"]) == (stood, before + 2)

    assert member.done("PUT", disk, {"size_gb": 3})["result"]["guest"]["disk_gb"] == 4
    mark = house.pve.mark()
    member.done("PUT", disk, {"size_gb": 3})
    assert house.pve.writes(mark) == [], "it has this size already"
    assert shown(member, kind, guest)[names[1]]["size_gb"] == 3
    assert allocated(member, tenant)["disk_gb"] == before + 3

    member.done("POST", f"{disk}/move", {"storage": vault})
    moved = shown(member, kind, guest)[names[1]]
    assert (moved["storage"], moved["size_gb"], moved["path"]) == (vault, 3, made["path"])
    assert volumes(house, guest) == {root["volid"], moved["volid"]}, "nothing is left where it was"
    assert allocated(member, tenant)["disk_gb"] == before + 3

    assert member.done("DELETE", disk)["result"]["guest"]["disk_gb"] == 1
    assert shown(member, kind, guest).keys() == {names[0]}
    assert volumes(house, guest) == {root["volid"]}
    assert not [key for key in config(house, kind, guest) if key.startswith("unused")]
    assert allocated(member, tenant)["disk_gb"] == before
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_that_runs_or_has_snapshots(house: House, member: Caller, tenant: dict[str, Any], kind: str) -> None:
    """A disk comes to a running guest of either kind; a VM gives it away, too, a container only when it is stopped."""
    guest = make(member, kind, storage="local-lvm", start=True)
    before = allocated(member, tenant)["disk_gb"]
    disk = path_of(kind, guest, f"/{SECOND[kind]}")
    member.done("POST", path_of(kind, guest), {**NEW[kind], "storage": "local-lvm"})
    snapshots = f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/snapshot"
    house.pve.post(snapshots, snapname="somebodys")  # which none of our rows knows
    for method, where, body in (("DELETE", disk, None), ("POST", f"{disk}/move", {"storage": "vault"})):
        answer = member.send(method, where, body, wait=60)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.has_snapshots")
    house.pve.delete(f"{snapshots}/somebodys")
    if kind == "cts":
        for method, where, body in (("DELETE", disk, None), ("POST", f"{disk}/move", {"storage": "vault"})):
            answer = member.send(method, where, body, wait=60)
            assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.running")
        member.done("POST", f"/proxmox/cts/{guest['id']}/stop", {"force": True})
    member.done("POST", f"{disk}/move", {"storage": "vault"})
    member.done("DELETE", disk)
    assert len(volumes(house, guest)) == 1
    assert allocated(member, tenant)["disk_gb"] == before
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}?force=true")


def test_a_disk_that_a_running_vm_cannot_let_go_stays(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    """Somebody gave it one on a bus that PVE does not unplug: its end would wait for the next start."""
    guest = make(member, "vms", storage="local-lvm")
    behind_our_back(house, "vms", guest, sata1="local-lvm:1")
    member.done("POST", f"/proxmox/vms/{guest['id']}/start")
    stood = {key: value for key, value in config(house, "vms", guest).items() if key != "digest"}
    answer = member.send("DELETE", path_of("vms", guest, "/sata1"), wait=60)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.running"), answer.get_json()
    assert {key: value for key, value in config(house, "vms", guest).items() if key != "digest"} == stood
    assert not [row for row in house.pve.get(f"/nodes/{guest['node']}/qemu/{guest['vmid']}/pending") if "delete" in row]
    member.done("DELETE", f"/proxmox/vms/{guest['id']}?force=true")


@pytest.mark.parametrize("kind", KINDS)
def test_what_pve_refuses_is_undone_and_given_back(
    house: House, member: Caller, tenant: dict[str, Any], kind: str
) -> None:
    """A disk that cannot be made, one that is detached and cannot be freed, one that cannot be moved."""
    guest = make(member, kind, storage="local-lvm")
    conf = f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}"
    member.done("POST", path_of(kind, guest), {**NEW[kind], "storage": "local-lvm"})
    before, stood = allocated(member, tenant), shown(member, kind, guest)
    more = {**NEW[kind], "storage": "local-lvm"} | ({"path": "/srv/more"} if kind == "cts" else {})
    with house.pve.fault(method="PUT", path=f"{conf}/config", kind="refuse", text="no", count=1):
        answer = member.post(path_of(kind, guest), more, wait=60)
    assert answer.status_code == 502, answer.get_json()
    disk = path_of(kind, guest, f"/{SECOND[kind]}")
    unfreed = {"method": "PUT", "path": f"{conf}/config", "kind": "refuse", "text": "no", "skip": 1, "count": 1}
    unmoved = {"kind": "task_fails", "task": f"(qmmove|move_volume):{guest['vmid']}"}
    for fault, method, where, body in (
        (unfreed, "DELETE", disk, None),
        (unmoved, "POST", f"{disk}/move", {"storage": "vault"}),
    ):
        with house.pve.fault(**fault):
            answer = member.send(method, where, body, wait=60)
        assert answer.status_code == 502, answer.get_json()
    assert (allocated(member, tenant), shown(member, kind, guest)) == (before, stood)
    assert volumes(house, guest) == {disk["volid"] for disk in stood.values()}
    assert not [key for key in config(house, kind, guest) if key.startswith("unused")]
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}")


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("vms", {}, "size_gb"), ("vms", {"size_gb": 0}, "size_gb"), ("vms", {"size_gb": "1"}, "size_gb"),
        ("vms", {"size_gb": 1, "path": "/srv"}, "path"), ("cts", {"size_gb": 1}, "path"),
        ("cts", {"size_gb": 1, "path": "srv"}, "path"), ("cts", {"size_gb": 1, "path": "/"}, "path"),
        ("cts", {"size_gb": 1, "path": "/srv/../etc"}, "path"), ("cts", {"size_gb": 1, "path": "/a,ro=1"}, "path"),
        ("cts", {"size_gb": 1, "path": "/a", "volume": "/etc"}, "volume"),
    ],
)  # fmt: skip
def test_bad_input_names_its_field(member: Caller, kind: str, body: dict[str, Any], field: str) -> None:
    """L16: no folder of the node, no option of the caller's."""
    answer = member.post(f"/proxmox/{kind}/100/disks", body)
    assert answer.status_code == 422
    assert field in answer.get_json()["errors"]


def test_two_disks_of_a_container_do_not_share_a_path(member: Caller, tenant: dict[str, Any]) -> None:
    guest = make(member, "cts", storage="local-lvm")
    member.done("POST", path_of("cts", guest), NEW["cts"])
    before = allocated(member, tenant)
    answer = member.post(path_of("cts", guest), NEW["cts"], wait=60)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["path"])
    assert allocated(member, tenant) == before
    member.done("DELETE", f"/proxmox/cts/{guest['id']}")
