"""What administrators put into the catalog, and what tenants make of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.house import Caller, House, container, vm, wait_for

ARCHIVE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"
ISO = "local:iso/debian-12.12.0-amd64-netinst.iso"


@pytest.fixture
def admin(house: House) -> Iterator[Caller]:
    """Whatever a test puts into the catalog is taken out again."""
    caller = house.admin()
    before = {one["id"] for one in entries(caller)}
    yield caller
    for one in entries(caller):
        if one["id"] not in before:
            assert caller.delete(f"/templates/{one['id']}").status_code == 204


@pytest.fixture(scope="module")
def member(house: House) -> Caller:
    return house.make_member(house.make_tenant(storages=["local-lvm", "local"], bridges=["vmbr0"]))


def entries(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get("/templates").get_json()["data"]
    return found


def scanned(caller: Caller) -> dict[str, dict[str, Any]]:
    answer = caller.get("/templates/scan")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return {one["reference"]: one for one in answer.get_json()["data"]}


def made(caller: Caller, **given: Any) -> dict[str, Any]:
    answer = caller.post("/templates", given)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    entry: dict[str, Any] = answer.get_json()
    return entry


def test_a_scan_tells_what_the_catalog_has_not_for_a_bounded_number_of_calls(house: House, admin: Caller) -> None:
    mark = house.pve.mark()
    found = scanned(admin)
    calls = house.pve.calls(mark)
    assert ISO in found
    assert ARCHIVE not in found
    assert "9000" not in found
    assert found[ISO] == {
        "reference": ISO, "name": "debian-12.12.0-amd64-netinst.iso", "kind": "vm", "volid": ISO, "vmid": None,
        "cores": 1, "memory": 512, "disk_gb": 1, "nodes": ["n1"],
    }  # fmt: skip
    assert len(calls) <= 1 + 2 * 2 * len({call["path"].split("/")[2] for call in calls if "/storage/" in call["path"]})
    assert all(call["method"] == "GET" for call in calls)


def test_pages_of_a_scan_have_each_source_once(admin: Caller) -> None:
    every = list(scanned(admin))
    shown, cursor = [], ""
    while cursor is not None:
        page = admin.get(f"/templates/scan?limit=1{cursor and f'&cursor={cursor}'}").get_json()
        shown += [one["reference"] for one in page["data"]]
        cursor = page["next"]
    assert shown == every


def test_an_import_is_whole_or_nothing_and_a_second_one_changes_nothing(admin: Caller) -> None:
    before = entries(admin)
    refused = admin.post("/templates/import", {"sources": [ISO, "local:iso/nothing.iso"]})
    assert refused.status_code == 422
    assert list(refused.get_json()["errors"]) == ["sources"]
    assert entries(admin) == before
    first = admin.post("/templates/import", {"sources": [ISO, ARCHIVE, ISO]}).get_json()["data"]
    assert [(one["volid"], one["published"], one["category"]) for one in first] == [(ISO, False, "os")]
    assert admin.post("/templates/import", {"sources": [ISO]}).get_json()["data"] == []
    assert ISO not in scanned(admin)


def test_an_entry_is_published_withdrawn_and_changed(admin: Caller, member: Caller) -> None:
    entry = made(admin, source=ISO, name="installer", disk_gb=4)
    path = f"/templates/{entry['id']}"
    assert member.get(path).status_code == 404
    assert admin.post(f"{path}/toggle").get_json()["published"] is True
    assert member.get(path).get_json()["name"] == "installer"
    changed = admin.put(
        path, {"name": "debian-installer", "category": "app", "logo_url": "https://logos.example/d.svg"}
    )
    assert changed.get_json() | {"created_at": ""} == entry | {
        "name": "debian-installer", "category": "app", "logo_url": "https://logos.example/d.svg", "published": True,
        "created_at": "",
    }  # fmt: skip
    smaller = admin.put(path, {"disk_gb": 3})
    assert (smaller.status_code, list(smaller.get_json()["errors"])) == (422, ["disk_gb"])
    assert admin.post(f"{path}/toggle").get_json()["published"] is False
    assert member.get(path).status_code == 404


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"source": "local:iso/nothing.iso"}, "source"),
        ({"source": "100"}, "source"),
        ({"source": ISO, "category": "game"}, "category"),
        ({"source": ISO, "logo_url": "javascript:alert(1)"}, "logo_url"),
        ({"source": ISO, "logo_url": "//elsewhere.example/x"}, "logo_url"),
        ({"source": ISO, "memory": 0}, "memory"),
        ({"source": ISO, "name": ""}, "name"),
    ],
)
def test_what_makes_no_entry(admin: Caller, given: dict[str, Any], field: str) -> None:
    answer = admin.post("/templates", {"name": "entry", **given})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])


def test_a_source_and_a_name_are_in_the_catalog_once(admin: Caller) -> None:
    again = admin.post("/templates", {"source": "9000", "name": "again"})
    assert (again.status_code, again.get_json()["code"]) == (409, "template.exists")
    taken = admin.post("/templates", {"source": ISO, "name": "debian-12"})
    assert (taken.status_code, taken.get_json()["code"]) == (409, "name.taken")


def test_members_write_nothing(member: Caller, admin: Caller) -> None:
    entry = entries(member)[0]
    for answer in (
        member.get("/templates/scan"),
        member.post("/templates", {"source": ISO, "name": "mine"}),
        member.post("/templates/import", {"sources": [ISO]}),
        member.put(f"/templates/{entry['id']}", {"description": "mine"}),
        member.post(f"/templates/{entry['id']}/toggle"),
        member.delete(f"/templates/{entry['id']}"),
    ):
        assert answer.status_code == 403
    assert entry in entries(admin)


def test_an_entry_stays_while_a_guest_of_it_is_there(admin: Caller, member: Caller) -> None:
    entry = made(admin, source=ISO, name="installer", published=True)
    guest = member.done("POST", "/proxmox/vms", vm(template=entry["id"]))["result"]["guest"]
    assert guest["made_from"] == "installer"
    in_use = admin.delete(f"/templates/{entry['id']}")
    assert (in_use.status_code, in_use.get_json()["code"]) == (409, "template.in_use")
    member.done("DELETE", f"/proxmox/vms/{guest['id']}")
    assert admin.delete(f"/templates/{entry['id']}").status_code == 204


def test_a_template_vm_becomes_what_all_tenants_may_clone(house: House, admin: Caller, member: Caller) -> None:
    disk = {"scsi0": "local-lvm:1", "boot": "order=scsi0"}
    house.pve.post("/nodes/n1/qemu", vmid=9100, name="golden", memory=256, cores=1, **disk)
    wait_for(lambda: 9100 in {one["vmid"] for one in house.pve.guests() if one["status"] == "stopped"})
    house.pve.post("/nodes/n1/qemu/9100/template")
    try:
        entry = made(admin, source="9100", name="golden", published=True)
        assert (entry["kind"], entry["vmid"], entry["memory"], entry["disk_gb"]) == ("vm", 9100, 256, 1)
        answer = wait_for(lambda: _accepted(member.post("/proxmox/vms", vm(template="golden"))), every=0.3)
        wait_for(lambda: member.get(f"/operations/{answer['id']}").get_json()["state"] == "succeeded", within=60)
        guest = member.get(f"/operations/{answer['id']}").get_json()["result"]["guest"]
        member.done("DELETE", f"/proxmox/vms/{guest['id']}")
        assert admin.delete(f"/templates/{entry['id']}").status_code == 204
    finally:
        house.pve.delete("/nodes/n1/qemu/9100")


def test_a_privileged_container_is_never_in_the_catalog(house: House, admin: Caller) -> None:
    container = {"ostemplate": ARCHIVE, "rootfs": "local-lvm:1", "hostname": "golden", "unprivileged": 0}
    house.pve.post("/nodes/n1/lxc", vmid=9101, **container)
    wait_for(lambda: 9101 in {one["vmid"] for one in house.pve.guests() if one["status"] == "stopped"})
    house.pve.post("/nodes/n1/lxc/9101/template")
    try:
        mark = house.pve.mark()
        refused = admin.post("/templates", {"source": "9101", "name": "golden"})
        assert (refused.status_code, refused.get_json()["code"]) == (403, "policy.privileged_guest")
        assert admin.post("/templates/import", {"sources": [ISO, "9101"]}).status_code == 403
        assert house.pve.writes(mark) == []
        assert ISO in scanned(admin)
    finally:
        house.pve.delete("/nodes/n1/lxc/9101")


def _accepted(answer: TestResponse) -> Any:
    """The operation; nothing while the inventory has not seen the new template."""
    return answer.get_json() if answer.status_code == 202 else None


def test_an_entry_on_a_storage_that_is_not_granted_is_no_template_of_the_tenant(house: House) -> None:
    poor = house.make_member(house.make_tenant(storages=["local-lvm"], bridges=["vmbr0"]))
    answer = poor.post("/proxmox/cts", container())
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["template"])
