"""What a tenant may do, told from both sides; what differs is marked."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.house import Caller, House, container, wait_for


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant(storages=["local-lvm", "local"], bridges=["vmbr0"])


@pytest.fixture(scope="module")
def viewer(house: House, tenant: dict[str, Any]) -> Caller:
    return house.make_member(tenant, "viewer")


def access(caller: Caller, tenant: dict[str, Any]) -> dict[str, Any]:
    answer = caller.get(f"/tenants/{tenant['id']}/access")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


def differing(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {path["path"]: path for path in found["paths"] if path["differs"]}


def acl(house: House, tenant: dict[str, Any], path: str, role: str, *, delete: bool) -> None:
    who = {"tokens": f"{tenant['pve_user']}!poolhouse", "users": tenant["pve_user"]}
    house.pve.put("/access/acl", path=path, roles=role, delete=int(delete), **who)


def test_both_sides_agree_when_nobody_interfered(house: House, tenant: dict[str, Any], viewer: Caller) -> None:
    guest = house.make_member(tenant).done("POST", "/proxmox/cts", container())["result"]["guest"]
    found = access(viewer, tenant)
    assert not found["differs"], differing(found)
    assert found["token_accepted"]
    paths = {path["path"] for path in found["paths"]}
    assert paths >= {
        f"/pool/{tenant['poolid']}", "/storage/local-lvm", "/storage/local", "/sdn/zones/localnetwork/vmbr0",
        f"/vms/{guest['vmid']}",
    }  # fmt: skip
    assert "/" not in paths
    actions = {action["action"]: action for action in found["actions"]}
    assert actions["guest.power"]["roles"] == ["operator", "owner"]
    assert actions["guest.power"]["needs"] == ["VM.PowerMgmt"]
    assert actions["guest.audit"]["roles"] == ["operator", "owner", "viewer"]
    assert not any(action["missing"] for action in actions.values())


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/pool/{poolid}", "PoolhouseGuest"),
        ("/storage/local-lvm", "PoolhouseStorage"),
        ("/sdn/zones/localnetwork/vmbr0", "PoolhouseNetwork"),
    ],
)
def test_a_right_taken_away_behind_our_back_is_marked(
    house: House, tenant: dict[str, Any], viewer: Caller, path: str, role: str
) -> None:
    path = path.format(**tenant)
    acl(house, tenant, path, role, delete=True)
    try:
        found = access(viewer, tenant)
        assert found["differs"]
        gone = differing(found)[path]
        assert gone["actual"] == [] != gone["missing"] == gone["expected"]
        missing = {action["action"] for action in found["actions"] if action["missing"]}
        assert missing == ({"guest.audit", "guest.power", "guest.allocate"} if path.startswith("/pool/") else set())
    finally:
        acl(house, tenant, path, role, delete=False)
    assert not access(viewer, tenant)["differs"]


def test_a_right_given_behind_our_back_is_marked(house: House, tenant: dict[str, Any], viewer: Caller) -> None:
    """Also one on a guest of others, where a tenant must have nothing at all: its members learn that there is one."""
    foreign = house.make_member(house.make_tenant()).done("POST", "/proxmox/cts", container())["result"]["guest"]
    known = {path["path"] for path in access(viewer, tenant)["paths"]}
    for path in ("/", f"/vms/{foreign['vmid']}", "/storage/local"):
        acl(house, tenant, path, "PVEAuditor", delete=False)
        try:
            everything, told = access(house.admin(), tenant), access(viewer, tenant)
            marked = differing(everything)
            assert marked[path]["excess"], path
            assert marked[path]["missing"] == [], path
            reached = {found["path"] for found in everything["paths"]}
            assert {found["path"] for found in told["paths"]} == known
            assert told["differs"]
            assert told["outside"] == everything["outside"] == len(reached - known)
            assert everything["outside"] > 0 or path == "/storage/local"
        finally:
            acl(house, tenant, path, "PVEAuditor", delete=True)


def test_a_foreign_guest_moved_into_the_pool_is_marked(house: House, tenant: dict[str, Any], viewer: Caller) -> None:
    other = house.make_tenant()
    vmid = house.make_member(other).done("POST", "/proxmox/cts", container())["result"]["guest"]["vmid"]
    house.pve.put(f"/pools/{tenant['poolid']}", vms=vmid, **{"allow-move": 1})
    assert "VM.PowerMgmt" in differing(access(house.admin(), tenant))[f"/vms/{vmid}"]["excess"]
    told = access(viewer, tenant)
    assert (told["differs"], told["outside"], differing(told)) == (True, 1, {})
    house.pve.put(f"/pools/{other['poolid']}", vms=vmid, **{"allow-move": 1})
    assert not access(viewer, tenant)["differs"]


def test_a_token_taken_away_is_told(house: House) -> None:
    tenant = house.make_tenant()
    house.pve.delete(f"/access/users/{tenant['pve_user']}/token/poolhouse")
    found = access(house.make_member(tenant, "viewer"), tenant)
    assert (found["token_accepted"], found["differs"]) == (False, True)
    assert all(path["missing"] == path["expected"] for path in found["paths"])


def test_a_suspended_tenant_s_members_may_only_look(house: House) -> None:
    tenant = house.make_tenant()
    viewer = house.make_member(tenant, "viewer")
    house.admin().patch(f"/tenants/{tenant['id']}", {"suspended": True})
    found = access(viewer, tenant)
    assert found["suspended"]
    assert {action["action"] for action in found["actions"]} == {
        "guest.audit", "tenant.audit", "operation.audit", "template.audit",
    }  # fmt: skip


def test_it_is_asked_with_the_tenant_s_own_token_and_nothing_else_is(
    house: House, tenant: dict[str, Any], viewer: Caller
) -> None:
    before = len(house.calls())
    access(viewer, tenant)
    asked = [call for call in house.calls()[before:] if "/access/permissions" in call["path"]]
    assert [call["user"] for call in asked] == [f"{tenant['pve_user']}!poolhouse"]


def test_a_foreign_tenant_looks_missing(house: House, tenant: dict[str, Any]) -> None:
    stranger = house.make_member(house.make_tenant(), "owner")
    refused = [stranger.get(f"/tenants/{ref}/access") for ref in (tenant["id"], tenant["name"], str(uuid.uuid4()))]
    assert [answer.status_code for answer in refused] == [404] * 3
    assert {answer.get_json()["detail"] for answer in refused} == {refused[0].get_json()["detail"]}


def test_a_cluster_that_is_away_is_503(house: House, tenant: dict[str, Any], viewer: Caller) -> None:
    with house.pve.fault(path="/access/permissions", kind="unreachable"):
        answer = viewer.get(f"/tenants/{tenant['id']}/access")
    assert answer.status_code == 503
    wait_for(lambda: viewer.get(f"/tenants/{tenant['id']}/access").status_code == 200)
