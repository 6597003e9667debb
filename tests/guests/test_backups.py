"""Backups of guests of both kinds: PVE has them, the quota counts them, each is its guest's alone."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.guests.test_change import KINDS, allocated, config, make
from tests.house import Caller, House


def path_of(kind: str, guest: dict[str, Any], backup: dict[str, Any] | None = None) -> str:
    return f"/proxmox/{kind}/{guest['id']}/backups" + (f"/{backup['id']}" if backup else "")


def take(caller: Caller, kind: str, guest: dict[str, Any], **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = caller.done("POST", path_of(kind, guest), body or None)["result"]["backup"]
    return made


def shown(caller: Caller, kind: str, guest: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = caller.get(path_of(kind, guest)).get_json()["data"]
    return rows


def archives(house: House, guest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Volid -> row, of all that PVE has of this guest."""
    rows = house.pve.get(f"/nodes/{guest['node']}/storage/local/content?content=backup&vmid={guest['vmid']}")
    return {row["volid"]: row for row in rows}


@pytest.mark.parametrize("kind", KINDS)
def test_backups_are_taken_shown_counted_deleted_and_purged_with_their_guest(house: House, kind: str) -> None:
    tenant = house.make_tenant({"backups": 2})
    member = house.make_member(tenant)
    guest = make(member, kind, start=True)
    notes = "before 2.0\nwith \\n and a \\ in it"
    made = take(member, kind, guest, mode="stop", compress="gzip", storage="local", notes=notes)
    second = take(member, kind, guest)
    assert member.get(f"/proxmox/{kind}/{guest['id']}").get_json()["state"] == "running", "as it was before"
    assert member.get(path_of(kind, guest, made)).get_json() == made
    assert [one["id"] for one in shown(member, kind, guest)] == [made["id"], second["id"]]
    assert (made["mode"], made["compress"], made["notes"], made["state"]) == ("stop", "gzip", notes, "ready")
    assert (made["cores"], made["memory"], made["disk_gb"]) == (1, 128, 1)
    there = archives(house, guest)
    assert there.keys() == {made["volid"], second["volid"]}
    assert there[made["volid"]]["notes"] == f"poolhouse-backup: {made['id']}\n{notes}"
    assert (there[made["volid"]]["size"], made["volid"].endswith(".gz")) == (made["size"], True)
    assert allocated(member, tenant)["backups"] == 2
    refused = member.post(path_of(kind, guest))
    assert (refused.status_code, refused.get_json()["dimension"]) == (403, "backups")

    member.done("DELETE", path_of(kind, guest, made))
    assert archives(house, guest).keys() == {second["volid"]}
    assert member.get(path_of(kind, guest, made)).status_code == 404
    assert allocated(member, tenant)["backups"] == 1
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}?force=true&purge=true")
    assert archives(house, guest) == {}
    assert allocated(member, tenant)["backups"] == 0


def test_what_went_behind_our_back_is_missing_and_can_be_forgotten(
    house: House, member: Caller, tenant: dict[str, Any]
) -> None:
    guest = make(member, "cts")
    gone, kept = take(member, "cts", guest), take(member, "cts", guest)
    before = allocated(member, tenant)["backups"]
    house.pve.delete(f"/nodes/{guest['node']}/storage/local/content/{gone['volid']}")
    mark = house.pve.mark()
    assert [one["state"] for one in shown(member, "cts", guest)] == ["missing", "ready"]
    (asked,) = [call for call in house.pve.calls(mark) if call["user"] == f"{tenant['pve_user']}!poolhouse"]
    assert (asked["method"], asked["path"].endswith("/storage/local/content")) == ("GET", True)
    member.done("DELETE", path_of("cts", guest, gone))
    assert [one["id"] for one in shown(member, "cts", guest)] == [kept["id"]]
    assert allocated(member, tenant)["backups"] == before - 1


def test_l5_a_backup_is_its_guests_alone(house: House, member: Caller) -> None:
    """L7 too: that it is the same tenant's, or that PVE would take it, makes no difference."""
    guest, other, machine = make(member, "cts"), make(member, "cts"), make(member, "vms")
    backup = take(member, "cts", guest)
    house.pve.post(f"/nodes/{guest['node']}/vzdump", vmid=other["vmid"], storage="local")
    mark = house.pve.mark()
    for path in (path_of("cts", other, backup), path_of("vms", machine, backup)):
        assert member.get(path).status_code == member.delete(path).status_code == 404
    assert shown(member, "cts", other) == [], "what somebody else has taken is none of ours"
    assert member.post(path_of("cts", other), {"volid": backup["volid"]}).status_code == 422
    assert house.pve.writes(mark) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"storage": "local-lvm"}, "storage"), ({"storage": "no-such"}, "storage"), ({"mode": "hot"}, "mode"),
        ({"compress": "rar"}, "compress"), ({"notes": "{{cluster}}"}, "notes"), ({"notes": "\0"}, "notes"),
        ({"notes": "x" * 1025}, "notes"), ({"dumpdir": "/tmp"}, "dumpdir"), ({"script": "/tmp/x"}, "script"),
    ],
)  # fmt: skip
def test_what_pve_would_not_take_is_named(member: Caller, body: dict[str, Any], field: str) -> None:
    guest = next(iter(member.get("/proxmox/cts").get_json()["data"]), None) or make(member, "cts")
    answer = member.post(path_of("cts", guest), body)
    assert answer.status_code == 422
    assert field in answer.get_json()["errors"]


def test_a_backup_that_fails_leaves_nothing(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    guest = make(member, "vms")
    before = allocated(member, tenant)
    with house.pve.fault(kind="task_fails", task="vzdump", text="no space left on device"):
        failed = member.post(path_of("vms", guest), wait=60)
    assert (failed.status_code, failed.get_json()["code"]) == (507, "capacity.exceeded")
    assert (shown(member, "vms", guest), archives(house, guest)) == ([], {})
    assert allocated(member, tenant) == before


def test_archives_that_are_kept_are_never_the_next_guests(house: House) -> None:
    """PVE gives whoever holds a number its archives: one whose archives stay is not given again."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, "cts")
    kept = take(member, "cts", guest)
    member.done("DELETE", f"/proxmox/cts/{guest['id']}")
    assert archives(house, guest).keys() == {kept["volid"]}
    assert allocated(member, tenant)["backups"] == 0
    again = member.post(
        "/proxmox/cts", {"name": f"c-{uuid.uuid4().hex[:8]}", "template": "debian-12", "vmid": guest["vmid"]}
    )
    assert (again.status_code, again.get_json()["code"]) == (409, "vmid.taken")


# -- restore


def restore(caller: Caller, kind: str, guest: dict[str, Any], backup: dict[str, Any], **body: Any) -> dict[str, Any]:
    path = f"{path_of(kind, guest, backup)}/restore"
    back: dict[str, Any] = caller.done("POST", path, body or None)["result"]["guest"]
    return back


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_comes_back_in_place_and_as_new(house: House, kind: str) -> None:
    """L26: what comes back is claimed before PVE is asked."""
    tenant = house.make_tenant({"memory": 640})
    member = house.make_member(tenant)
    guest = make(member, kind, memory=256, tags=["blue"])
    path = f"/proxmox/{kind}/{guest['id']}"
    member.done("PATCH", path, {"description": "as it was"})
    backup = take(member, kind, guest)
    member.done(
        "PATCH", path, {"memory": 128, "name": "renamed", "tags": [], "description": "", "disk_increment_gb": 1}
    )
    member.done("POST", f"{path}/snapshots", {"name": "lost"})

    back = restore(member, kind, guest, backup, start=True)
    shape = ("id", "vmid", "name", "memory", "cores", "disk_gb", "tags", "poolid", "unprivileged")
    assert {key: back[key] for key in shape} == {key: guest[key] for key in shape}
    assert back["state"] == "running"
    assert member.get(f"{path}/snapshots").get_json()["data"] == [], "PVE takes them with the disks"
    assert config(house, kind, back)["description"].strip() == f"poolhouse-guest: {guest['id']}\nas it was"
    assert {name: allocated(member, tenant)[name] for name in ("memory", "disk_gb", "snapshots", "backups")} == {
        "memory": 256, "disk_gb": 1, "snapshots": 0, "backups": 1,
    }  # fmt: skip
    refused = member.post(f"{path_of(kind, guest, backup)}/restore")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.running")

    new = restore(member, kind, guest, backup, as_new=True, name="another", storage="local-lvm")
    assert new["id"] != guest["id"]
    assert new["vmid"] in range(house.settings.vmid_min, house.settings.vmid_max + 1)
    assert (new["name"], new["memory"], new["disk_gb"], new["state"]) == ("another", 256, 1, "stopped")
    assert (new["poolid"], new["tags"], new["unprivileged"]) == (guest["poolid"], ["blue"], guest["unprivileged"])
    assert new["vmid"] in house.pve.members(tenant["poolid"])
    made = config(house, kind, new)
    assert made["description"].strip() == f"poolhouse-guest: {new['id']}\nas it was"
    assert made["net0"] != config(house, kind, back)["net0"], "its network card is another one"

    mark = house.pve.mark()
    again = member.post(f"{path_of(kind, guest, backup)}/restore", {"as_new": True})
    assert (again.status_code, again.get_json()["dimension"]) == (403, "memory")
    assert house.pve.writes(mark) == []


def test_what_a_restore_would_bring_over_the_quota_is_refused(house: House) -> None:
    tenant = house.make_tenant({"memory": 256})
    member = house.make_member(tenant)
    guest = make(member, "cts", memory=256)
    backup = take(member, "cts", guest)
    member.done("PATCH", f"/proxmox/cts/{guest['id']}", {"memory": 128})
    make(member, "cts", memory=128)
    mark = house.pve.mark()
    refused = member.post(f"{path_of('cts', guest, backup)}/restore")
    assert (refused.status_code, refused.get_json()["dimension"]) == (403, "memory")
    assert house.pve.writes(mark) == []


@pytest.mark.parametrize(
    "body", [{"name": "x"}, {"vmid": 19000}, {"storage": "local-lvm"}, {"volid": "local:backup/x"}]
)
def test_what_is_for_a_new_guest_is_said_so(member: Caller, body: dict[str, Any]) -> None:
    guest = next(iter(member.get("/proxmox/cts").get_json()["data"]), None) or make(member, "cts")
    backup = next(iter(shown(member, "cts", guest)), None) or take(member, "cts", guest)
    answer = member.post(f"{path_of('cts', guest, backup)}/restore", body)
    assert answer.status_code == 422
    assert answer.get_json()["errors"].keys() == body.keys()


def test_a_failed_restore_of_a_vm_leaves_no_half_guest(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    """PVE destroys the disks before it makes the new ones. In place, what is left stays ours, and can be restored once
    more; as new, nothing stays."""
    guest = make(member, "vms")
    backup = take(member, "vms", guest)
    before, there = allocated(member, tenant), {row["vmid"] for row in house.pve.guests()}
    path = f"{path_of('vms', guest, backup)}/restore"
    with house.pve.fault(kind="task_fails", task="qmrestore", at=50, text="no space left on device"):
        as_new = member.post(path, {"as_new": True, "storage": "local-lvm"}, wait=60)
        failed = member.post(path, wait=60)
    assert as_new.status_code == 507
    assert {row["vmid"] for row in house.pve.guests()} == there
    problem = failed.get_json()
    assert (failed.status_code, problem["code"], problem["lost"]) == (507, "capacity.exceeded", ["disks"])
    assert "restore it once more" in problem["remedy"]
    assert allocated(member, tenant) == before | {"disk_gb": before["disk_gb"] - 1}
    back = restore(member, "vms", guest, backup)
    assert (back["id"], back["disk_gb"], back["name"]) == (guest["id"], 1, guest["name"])
    assert allocated(member, tenant) == before


def test_a_failed_restore_of_a_container_leaves_what_was_there(
    house: House, member: Caller, tenant: dict[str, Any]
) -> None:
    guest = make(member, "cts")
    backup = take(member, "cts", guest)
    before = config(house, "cts", guest)
    with house.pve.fault(kind="task_fails", task="vzrestore", at=50, text="no space left on device"):
        failed = member.post(f"{path_of('cts', guest, backup)}/restore", wait=60)
    assert (failed.status_code, "lost" in failed.get_json()) == (507, False)
    assert config(house, "cts", guest) == before


def test_what_pve_has_lost_cannot_be_restored(house: House, member: Caller) -> None:
    guest = make(member, "cts")
    backup = take(member, "cts", guest)
    house.pve.delete(f"/nodes/{guest['node']}/storage/local/content/{backup['volid']}")
    for body in ({}, {"as_new": True}):
        failed = member.post(f"{path_of('cts', guest, backup)}/restore", body, wait=60)
        assert (failed.status_code, failed.get_json()["code"]) == (409, "backup.missing")
    assert member.get(f"/proxmox/cts/{guest['id']}").get_json()["state"] == "stopped"


def test_no_template_is_restored(member: Caller) -> None:
    """Its clones may need its disks; of its archive would come another template."""
    guest = make(member, "vms")
    before = take(member, "vms", guest)
    member.done("POST", f"/proxmox/vms/{guest['id']}/template")
    after = take(member, "vms", guest)
    assert restore(member, "vms", guest, before, as_new=True)["template"] is False
    for body, backup in (({}, before), ({"as_new": True}, after)):
        refused = member.post(f"{path_of('vms', guest, backup)}/restore", body, wait=60)
        assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.template")
