"""Guests of both kinds are cloned: their own, and published templates; charged before, never privileged."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guests.test_change import KINDS, allocated, behind_our_back, config, make
from tests.house import Caller, House

DISK = {"cts": "rootfs", "vms": "scsi0"}


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant({"guests": 4, "disk_gb": 20})


def clone(caller: Caller, kind: str, source: Any, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = caller.done("POST", f"/proxmox/{kind}/{source}/clone", {"name": "copy", **body})["result"]
    return made["guest"]


def volid(house: House, kind: str, guest: dict[str, Any]) -> str:
    return str(config(house, kind, guest)[DISK[kind]]).partition(",")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_is_cloned_in_full_and_as_a_template_linked(
    house: House, member: Caller, tenant: dict[str, Any], kind: str
) -> None:
    source = make(member, kind, memory=192, cores=2, tags=["web"], net={"bridge": "vmbr0", "vlan": 7})
    member.done("PATCH", f"/proxmox/{kind}/{source['id']}", {"description": "the first one"})
    before = allocated(member, tenant)
    made = clone(member, kind, source["id"])
    same = ("kind", "tenant", "poolid", "node", "cores", "memory", "disk_gb", "tags", "unprivileged")
    assert {name: made[name] for name in same} == {name: source[name] for name in same}
    assert (made["name"], made["state"], made["made_from"]) == ("copy", "stopped", source["name"])
    assert made["vmid"] in house.pve.members(tenant["poolid"])
    assert config(house, kind, made)["description"].strip() == f"poolhouse-guest: {made['id']}"
    assert volid(house, kind, made) != volid(house, kind, source)
    after = allocated(member, tenant)
    grown = {name: after[name] - before[name] for name in after}
    assert {"guests": 1, "cores": 2, "memory": 192, "disk_gb": 1}.items() <= grown.items()
    assert (grown["running_memory"], grown["running_cores"]) == (0, 0)
    answer = member.post(f"/proxmox/{kind}/{source['id']}/clone", {"name": "linked", "full": False})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["full"])
    member.done("DELETE", f"/proxmox/{kind}/{made['id']}")
    member.done("POST", f"/proxmox/{kind}/{source['id']}/template")
    answer = member.post(f"/proxmox/{kind}/{source['id']}/clone", {"name": "x", "full": False, "storage": "local-lvm"})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["storage"])
    linked = clone(member, kind, source["id"], full=False)
    assert (linked["template"], linked["disk_gb"], linked["unprivileged"]) == (False, 1, source["unprivileged"])
    member.done("POST", f"/proxmox/{kind}/{linked['id']}/start")
    for guest in (linked, source):
        member.done("DELETE", f"/proxmox/{kind}/{guest['id']}?force=true")


def test_a_number_of_our_own_range_may_be_wished_for(house: House, member: Caller) -> None:
    """L36."""
    for kind in KINDS:
        source = make(member, kind)
        wished = source["vmid"] + 7
        made = clone(member, kind, source["id"], newid=wished)
        assert made["vmid"] == wished
        path, mark = f"/proxmox/{kind}/{source['id']}/clone", house.pve.mark()
        for number, status in ((wished, 409), (source["vmid"], 409), (9_999, 422), (20_000, 422), (99, 422)):
            answer = member.post(path, {"name": "copy", "newid": number})
            told = answer.get_json()
            assert answer.status_code == status, told
            assert told["code"] == "vmid.taken" if status == 409 else list(told["errors"]) == ["newid"]
        assert house.pve.writes(mark) == []
        for guest in (made, source):
            member.done("DELETE", f"/proxmox/{kind}/{guest['id']}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_would_pass_the_quota_is_refused_before_pve_is_asked(house: House, kind: str) -> None:
    tenant = house.make_tenant({"disk_gb": 1})
    member = house.make_member(tenant)
    guest = make(member, kind)
    mark = house.pve.mark()
    refused = member.post(f"/proxmox/{kind}/{guest['id']}/clone", {"name": "copy"})
    assert (refused.status_code, refused.get_json()["dimension"]) == (403, "disk_gb")
    assert house.pve.writes(mark) == []


def test_a_vm_may_run_while_it_is_cloned_and_a_container_may_not(member: Caller) -> None:
    """As in PVE 9.1, which clones a container that runs from a snapshot only."""
    machine, box = make(member, "vms", start=True), make(member, "cts", start=True)
    made = clone(member, "vms", machine["id"])
    assert made["state"] == "stopped"
    answer = member.post(f"/proxmox/cts/{box['id']}/clone", {"name": "copy"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.running")
    for kind, guest in (("vms", machine), ("vms", made), ("cts", box)):
        member.done("DELETE", f"/proxmox/{kind}/{guest['id']}?force=true")


def test_a_published_template_is_cloned_by_its_vmid_in_full_and_linked(
    house: House, member: Caller, tenant: dict[str, Any]
) -> None:
    (entry,) = (one for one in member.get("/templates").get_json()["data"] if one["name"] == "debian-12-vm")
    for full in (True, False):
        made = clone(member, "vms", entry["vmid"], full=full)
        assert (made["tenant"], made["made_from"], made["disk_gb"]) == (tenant["id"], entry["name"], 2)
        assert made["vmid"] in house.pve.members(tenant["poolid"])
        member.done("DELETE", f"/proxmox/vms/{made['id']}")
    assert member.post(f"/proxmox/cts/{entry['vmid']}/clone", {"name": "copy"}).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_goes_to_another_of_the_caller_s_tenants_and_is_charged_there(
    house: House, tenant: dict[str, Any], kind: str
) -> None:
    other = house.make_tenant({"guests": 1})
    member = house.make_member(tenant)
    me = member.get("/auth/me").get_json()["username"]
    source = make(member, kind)
    refused = member.post(f"/proxmox/{kind}/{source['id']}/clone", {"name": "copy", "poolid": other["poolid"]})
    assert (refused.status_code, refused.get_json()["code"]) == (404, "not_found"), "not his yet"
    joined = house.admin().post(f"/tenants/{other['id']}/members", {"username": me, "role": "operator"})
    assert joined.status_code == 201
    before = allocated(member, tenant)
    made = clone(member, kind, source["id"], poolid=other["poolid"])
    assert (made["tenant"], made["poolid"]) == (other["id"], other["poolid"])
    assert made["vmid"] in house.pve.members(other["poolid"]) - house.pve.members(tenant["poolid"])
    assert (allocated(member, tenant), allocated(member, other)["guests"]) == (before, 1)
    member.done("POST", f"/proxmox/{kind}/{made['id']}/start")
    refused = member.post(f"/proxmox/{kind}/{source['id']}/clone", {"name": "two", "poolid": other["poolid"]})
    assert (refused.status_code, refused.get_json()["dimension"]) == (403, "guests")
    for guest in (made, source):
        member.done("DELETE", f"/proxmox/{kind}/{guest['id']}?force=true")


def test_what_fails_after_it_was_handed_over_is_taken_back_and_ended(house: House, tenant: dict[str, Any]) -> None:
    """By the token that has made it: the other tenant's was refused."""
    other = house.make_tenant()
    member = house.make_member(tenant)
    me = member.get("/auth/me").get_json()["username"]
    house.admin().post(f"/tenants/{other['id']}/members", {"username": me, "role": "operator"})
    source = make(member, "cts", tenant=tenant["id"])
    before, there = allocated(member, tenant), house.pve.members(tenant["poolid"])
    theirs = {"user": f"{other['pve_user']}!poolhouse", "method": "GET", "path": "/lxc/[0-9]+/status/current"}
    with house.pve.fault(kind="refuse", text="no", **theirs):
        body = {"name": "copy", "poolid": other["poolid"]}
        answer = member.post(f"/proxmox/cts/{source['id']}/clone", body, wait=60)
    assert answer.status_code == 502, answer.get_json()
    assert (allocated(member, tenant), house.pve.members(tenant["poolid"])) == (before, there)
    assert (allocated(member, other)["guests"], house.pve.members(other["poolid"])) == (0, set())
    member.done("DELETE", f"/proxmox/cts/{source['id']}")


def test_a_privileged_container_is_not_cloned(house: House, tenant: dict[str, Any]) -> None:
    """PVE would: its clone keeps the flag of its source."""
    member = house.make_member(tenant)
    guest = make(member, "cts")
    path = f"/nodes/{guest['node']}/lxc/{guest['vmid']}"
    house.pve.delete(path)
    house.pve.post(
        f"/nodes/{guest['node']}/lxc", vmid=guest["vmid"], hostname="swapped", pool=tenant["poolid"], unprivileged=0,
        ostemplate="local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst", rootfs="local-lvm:1",
        description=f"poolhouse-guest: {guest['id']}",
    )  # fmt: skip
    mark = house.pve.mark()
    answer = member.post(f"/proxmox/cts/{guest['id']}/clone", {"name": "copy"})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "policy.privileged_guest")
    assert house.pve.writes(mark) == []
    member.done("DELETE", f"/proxmox/cts/{guest['id']}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_pve_refuses_leaves_nothing(house: House, member: Caller, tenant: dict[str, Any], kind: str) -> None:
    source = make(member, kind)
    before, there = allocated(member, tenant), house.pve.members(tenant["poolid"])
    with house.pve.fault(kind="task_fails", task=f"(qm|vz)clone:{source['vmid']}"):
        answer = member.post(f"/proxmox/{kind}/{source['id']}/clone", {"name": "copy"}, wait=60)
    assert answer.status_code == 502, answer.get_json()
    assert (allocated(member, tenant), house.pve.members(tenant["poolid"])) == (before, there)
    behind_our_back(house, kind, source, **{"net0": _other_bridge(kind)})
    answer = member.post(f"/proxmox/{kind}/{source['id']}/clone", {"name": "copy"})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["poolid"])
    member.done("DELETE", f"/proxmox/{kind}/{source['id']}")


def _other_bridge(kind: str) -> str:
    return "name=eth0,bridge=vmbr1,ip=dhcp" if kind == "cts" else "virtio,bridge=vmbr1"
