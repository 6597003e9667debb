"""Users, limits and the catalog, as the front end's administrator has them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import Caller, House, container, vm

ARCHIVE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"
ISO = "local:iso/debian-12.12.0-amd64-netinst.iso"
NO_LIMIT = 999_999_999


@pytest.fixture
def admin(house: House) -> Iterator[Caller]:
    """Whatever a test puts into the catalog is taken out again."""
    caller = house.admin()
    before = {one["id"] for one in caller.get("/admin/templates").get_json()}
    yield caller
    for one in caller.get("/admin/templates").get_json():
        if one["id"] not in before:
            assert caller.delete(f"/admin/templates/{one['id']}").status_code == 200


def listed(caller: Caller, path: str, **wanted: Any) -> dict[str, Any] | None:
    answer = caller.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    rows = answer.get_json()
    assert isinstance(rows, list)
    return next((row for row in rows if wanted.items() <= row.items()), None)


def names(caller: Caller) -> list[str]:
    return [row["username"] for row in caller.get("/admin/users").get_json()]


# -- users


def test_users_have_their_own_use_and_limits_in_their_home_tenants(house: House) -> None:
    admin, tenant = house.admin(), house.make_tenant({"cores": 40})
    member, other = house.make_member(tenant), house.make_member(tenant)
    member.done("POST", "/proxmox/cts", container(cores=2))
    other.done("POST", "/proxmox/cts", container())
    me = member.get("/auth/me").get_json()
    row = listed(admin, "/admin/users", id=me["id"])
    assert row == {
        "id": me["id"], "username": me["username"], "email": "", "is_admin": False, "group_name": "",
        "usage": {"cpu": 2, "memory": 128, "storage": 1, "count": 1},
        "limits": dict.fromkeys(("cpu", "memory", "storage"), NO_LIMIT),
    }  # fmt: skip
    path = f"/admin/users/{me['id']}/quota"
    saved = admin.put(path, {**row["limits"], "cpu": 6}).get_json()
    assert saved["quota"]["limit"]["cpu"] == 6
    assert (listed(admin, "/admin/users", id=me["id"]) or {})["limits"] == {**row["limits"], "cpu": 6}
    assert member.get("/auth/me").get_json()["quota"]["limit"]["cpu"] == 6
    assert admin.get(f"/tenants/{tenant['id']}/quota").get_json()["cores"] == 40, "he is not the only one in it"
    admin.put(path, {"memory": 64})
    kept = (listed(admin, "/admin/users", id=me["id"]) or {})["limits"]
    assert kept == {"cpu": 6, "memory": 64, "storage": NO_LIMIT}, "below what he has, and the others as they were"
    assert member.post("/proxmox/cts", container()).get_json()["code"] == "quota.exceeded"
    group = f"g-{uuid.uuid4().hex[:8]}"
    assert admin.post("/groups", {"name": group}).status_code == 201
    assert admin.put(f"/groups/{group}/users/{me['id']}").status_code == 204
    assert (listed(admin, "/admin/users", id=me["id"]) or {})["group_name"] == group
    shown = names(admin)
    assert shown == sorted(shown, key=str.casefold)


def test_the_limits_of_who_is_alone_in_his_tenant_are_the_tenant_s_too(house: House) -> None:
    admin, tenant = house.admin(), house.make_tenant({"cores": 2, "guests": 4})
    member = house.make_member(tenant)
    me = member.get("/auth/me").get_json()["id"]
    quota = admin.put(f"/admin/users/{me}/quota", {"cpu": 0, "memory": NO_LIMIT, "storage": 100}).get_json()["quota"]
    assert quota["limit"] == {"vms": 4, "cpu": 0, "memory": NO_LIMIT, "storage": 100}
    limits = admin.get(f"/tenants/{tenant['id']}/quota").get_json()
    assert (limits["cores"], limits["memory"], limits["disk_gb"], limits["guests"]) == (0, None, 100, 4)


def test_limits_that_are_none_are_refused(house: House) -> None:
    admin, member = house.admin(), house.make_member(house.make_tenant())
    me = member.get("/auth/me").get_json()["id"]
    for wrong in (-1, 1.5, "4", None, True, 10**9):
        answer = admin.put(f"/admin/users/{me}/quota", {"cpu": wrong})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["cpu"])
    assert admin.put(f"/admin/users/{uuid.uuid4()}/quota", {"cpu": 1}).status_code == 404
    homeless = admin.put("/admin/users/admin/quota", {"cpu": 1})
    assert (homeless.status_code, homeless.get_json()["code"]) == (422, "tenant.required")
    assert member.put(f"/admin/users/{me}/quota", {"cpu": 1}).status_code == 403


# -- the catalog


def test_a_candidate_is_imported_shown_to_users_changed_and_removed(house: House, admin: Caller) -> None:
    member = house.make_member(house.make_tenant(storages=["local-lvm", "local"], bridges=["vmbr0"]))
    candidate = listed(admin, "/admin/templates/scan", volid=ISO)
    assert candidate == {
        "volid": ISO, "name": "debian-12.12.0-amd64-netinst", "type": "qemu", "detected_size_gb": 1, "origin": "file",
    }  # fmt: skip
    assert listed(admin, "/admin/templates/scan", volid=ARCHIVE) is None
    unknown = {**candidate, "volid": "local:iso/nothing.iso"}
    refused = admin.post("/admin/templates/import", {"templates": [candidate, unknown]})
    assert (refused.status_code, list(refused.get_json()["errors"])) == (422, ["templates"])
    known = {**candidate, "volid": ARCHIVE}
    made = admin.post("/admin/templates/import", {"templates": [candidate, known]})
    assert made.get_json() == {"success": True, "message": "1 template imported."}
    entry = listed(admin, "/admin/templates", proxmox_template_volid=ISO)
    assert entry is not None
    assert entry | {"id": "", "name": ""} == {
        "id": "", "name": "", "type": "qemu", "proxmox_template_volid": ISO, "category": "os", "deploy_mode": "file",
        "is_active": False, "description": "", "default_cpu": 1, "default_memory": 512, "default_storage": 1,
    }  # fmt: skip
    path, below = f"/admin/templates/{entry['id']}", f"/catalog/admin/templates/{entry['id']}"
    assert listed(member, "/catalog/templates", id=entry["id"]) is None
    assert listed(admin, "/catalog/admin/templates", id=entry["id"]) is not None
    toggled = admin.put(f"{path}/toggle")
    assert toggled.get_json() == {"success": True, "is_active": True, "message": "Template is active."}
    assert listed(member, "/catalog/templates", id=entry["id"]) is not None
    for where, size in ((path, 10), (below, 12)):
        edited = {**entry, "name": "installer", "is_active": True, "default_storage": size, "whatever": {"x": 1}}
        saved = admin.put(where, edited).get_json()
        assert saved["data"] == {
            "id": entry["id"], "name": "installer", "type": "qemu", "description": "", "category": "os",
            "logo_url": None, "specs": {"cpu": 1, "memory": 512, "storage": size},
        }  # fmt: skip
    for field, value in (("default_storage", 1), ("default_cpu", 0), ("default_memory", 0), ("category", "game")):
        answer = admin.put(path, {**entry, "name": "installer", "default_storage": 12, field: value})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    guest = member.done("POST", "/proxmox/vms", vm(template=entry["id"], disk_gb=12))["result"]["guest"]
    in_use = admin.delete(path)
    assert (in_use.status_code, in_use.get_json()["code"]) == (409, "template.in_use")
    assert isinstance(in_use.get_json()["error"], str)
    member.done("DELETE", f"/proxmox/vms/{guest['id']}")
    assert admin.delete(path).get_json() == {"success": True, "message": "Template removed from the catalog."}


def test_the_sizes_of_a_clone_are_what_pve_says(admin: Caller) -> None:
    entry = listed(admin, "/admin/templates", deploy_mode="clone")
    assert entry is not None
    assert entry["proxmox_template_volid"].isdigit()
    wished = {**entry, "description": "as it was", "default_cpu": 7, "default_storage": 1}
    assert admin.put(f"/admin/templates/{entry['id']}", wished).status_code == 200
    after = listed(admin, "/admin/templates", id=entry["id"])
    assert after == {**entry, "description": "as it was"}
    admin.put(f"/admin/templates/{entry['id']}", {"description": entry["description"]})


def test_scripts_add_templates_below_the_catalog(admin: Caller) -> None:
    body = {
        "name": "installer", "proxmox_template_volid": ISO, "type": "qemu", "deploy_mode": "file", "is_active": True,
        "logo_url": "https://logos.example/d.svg", "default_storage": 4,
    }  # fmt: skip
    made = admin.post("/catalog/admin/templates", body)
    assert made.status_code == 201, made.get_data(as_text=True)
    entry = listed(admin, "/admin/templates", id=made.get_json()["id"]) or {}
    assert (entry["is_active"], entry["default_storage"], entry["deploy_mode"]) == (True, 4, "file")
    for wrong in ({"deploy_mode": "clone"}, {"proxmox_template_volid": "local:iso/nothing.iso"}):
        answer = admin.post("/catalog/admin/templates", {**body, "name": "other", **wrong})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["proxmox_template_volid"])
    assert admin.delete(f"/catalog/admin/templates/{entry['id']}").status_code == 200


def test_a_scan_while_pve_is_away_is_pve_s_trouble(house: House, admin: Caller) -> None:
    with house.pve.fault(kind="close", path="/cluster/resources"):
        answer = admin.get("/admin/templates/scan")
    assert answer.status_code in (502, 503, 504)


# -- groups


def test_a_group_is_made_with_its_limits_changed_and_deleted(house: House) -> None:
    admin, name = house.admin(), f"students-{uuid.uuid4().hex[:8]}"
    body = {"name": name, "description": "", "ldap_filter": "", "default_storage_pool": "local-lvm", "max_cpu": 2}
    made = admin.post("/admin/groups", body)
    assert made.status_code == 201, made.get_data(as_text=True)
    group = made.get_json()["id"]
    path = f"/admin/groups/{group}"
    shown = listed(admin, "/admin/groups", id=group)
    assert shown == {
        "id": group, "name": name, "description": "", "ldap_filter": None, "default_storage_pool": "local-lvm",
        "default_network_bridge": None, "default_vlan_tag": None, "max_vms": NO_LIMIT, "max_cpu": 2,
        "max_memory": NO_LIMIT, "max_storage": NO_LIMIT, "user_count": 0,
    }  # fmt: skip
    taken = admin.post("/admin/groups", body)
    assert (taken.status_code, taken.get_json()["code"]) == (409, "name.taken")
    member = house.make_member(house.make_tenant())
    me = member.get("/auth/me").get_json()["id"]
    assert admin.put(f"/groups/{group}/users/{me}").status_code == 204
    assert admin.put(path, {**shown, "name": f"{name}-2", "max_cpu": 0}).status_code == 200
    assert (listed(admin, "/admin/groups", id=group) or {}) == {
        **shown, "name": f"{name}-2", "max_cpu": 0, "user_count": 1,
    }  # fmt: skip
    assert (listed(admin, "/admin/users", id=me) or {})["group_name"] == f"{name}-2"
    assert member.post("/proxmox/cts", container()).get_json()["dimension"] == "cores"
    in_use = admin.delete(path)
    assert (in_use.status_code, in_use.get_json()["code"]) == (409, "group.in_use")
    assert admin.delete(f"/groups/{group}/users/{me}").status_code == 204
    assert admin.delete(path).status_code == 200
    assert listed(admin, "/admin/groups", id=group) is None
    assert admin.get(f"/plans/{name}-2").status_code == 404, "its own plan is gone with it"


def test_a_group_that_cannot_be_made_leaves_no_plan(house: House) -> None:
    admin, name = house.admin(), f"students-{uuid.uuid4().hex[:8]}"
    group = admin.post("/groups", {"name": name}).get_json()["id"]
    assert admin.post("/admin/groups", {"name": name}).status_code == 409
    assert admin.get(f"/plans/{name}").status_code == 404
    for wrong in ({"default_storage_pool": "no-such"}, {"max_cpu": -1}, {"default_vlan_tag": 5000}):
        answer = admin.put(f"/admin/groups/{group}", wrong)
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, list(wrong))
    assert admin.put(f"/admin/groups/{group}", {"max_vms": 3}).status_code == 200
    assert (listed(admin, "/admin/groups", id=group) or {})["max_vms"] == 3
    assert admin.delete(f"/admin/groups/{group}").status_code == 200
