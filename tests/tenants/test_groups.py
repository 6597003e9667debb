"""Groups: what their plan says applies to the users and tenants in them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.house import Caller, House, container
from tests.tenants.test_plans import make_plan, paths, settled, shown


@pytest.fixture(scope="module")
def admin(house: House) -> Caller:
    return house.admin()


def make_group(admin: Caller, **said: Any) -> dict[str, Any]:
    answer = admin.post("/groups", {"name": f"Group {uuid.uuid4().hex[:8]}", **said})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    made: dict[str, Any] = answer.get_json()
    return made


def me(caller: Caller) -> dict[str, Any]:
    found: dict[str, Any] = caller.get("/auth/me").get_json()
    return found


def test_a_group_is_made_shown_changed_and_deleted(admin: Caller) -> None:
    plan, said = make_plan(admin), {"description": "Spring\nterm", "ldap_filter": "(memberOf=cn=students,dc=example)"}
    group = make_group(admin, plan=plan["id"], **said)
    assert group == {**group, **said, "plan": plan["name"], "user_count": 0, "tenant_count": 0}
    for ref in (group["id"], group["name"].upper()):
        assert admin.get(f"/groups/{ref}").get_json() == group
    assert group in admin.get("/groups?limit=1000&sort=-created_at").get_json()["data"]
    taken = admin.post("/groups", {"name": group["name"].lower()})
    assert (taken.status_code, taken.get_json()["code"]) == (409, "name.taken")
    assert admin.delete(f"/plans/{plan['id']}").get_json()["code"] == "plan.in_use"
    changed = admin.put(f"/groups/{group['id']}", {"plan": None, "ldap_filter": None, "name": "Group of nobody"})
    assert changed.get_json() == {
        **group, "plan": None, "ldap_filter": None, "name": "Group of nobody", "operations": [],
    }  # fmt: skip
    assert admin.delete(f"/plans/{plan['id']}").status_code == 204
    assert admin.delete(f"/groups/{group['id']}").status_code == 204
    assert admin.get(f"/groups/{group['id']}").status_code == 404


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "a/b"}, "name"),
        ({"plan": "no such plan"}, "plan"),
        ({"ldap_filter": ""}, "ldap_filter"),
        ({"x": 1}, "x"),
    ],
)
def test_what_is_wrong_with_a_group_is_told_by_its_field(admin: Caller, given: dict[str, Any], field: str) -> None:
    answer = admin.post("/groups", {"name": f"Group {uuid.uuid4().hex[:8]}", **given})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])


def test_l125_the_plan_of_a_user_s_group_is_his_own_limit_in_every_tenant_while_he_is_in_it(
    house: House, admin: Caller
) -> None:
    """His own in the tenant comes before it, and ends when he joins."""
    plan = make_plan(admin, limits={"guests": 1, "memory": 4096})
    group = make_group(admin, plan=plan["id"])
    tenant = house.make_tenant({"guests": 5})
    member, other = house.make_member(tenant), house.make_member(tenant)
    user, quota = me(member)["id"], f"/tenants/{tenant['id']}/quota?user={me(member)['id']}"
    admin.put(quota, {"guests": 3, "cores": 3})
    assert admin.put(f"/groups/{group['name']}/users/{me(member)['username']}").status_code == 204
    assert [row["id"] for row in admin.get(f"/groups/{group['id']}/users").get_json()["data"]] == [user]
    assert admin.get(f"/groups/{group['id']}").get_json()["user_count"] == 1
    own = admin.get(quota).get_json()
    assert (own["guests"], own["memory"], own["cores"]) == (1, 4096, None)
    member.done("POST", "/proxmox/cts", container())
    refused = member.post("/proxmox/cts", container()).get_json()
    assert (refused["code"], refused["whose"], refused["limit"]) == ("quota.exceeded", "user", 1)
    other.done("POST", "/proxmox/cts", container())
    usage = {row["user"]: row["quota"] for row in admin.get(f"/tenants/{tenant['id']}/usage").get_json()["users"]}
    assert (usage[user]["guests"], usage[me(other)["id"]]["guests"]) == (1, None)
    assert me(member)["quota"]["limit"]["guests"] == 1
    assert member.get("/plans").get_json()["data"] == [plan]
    admin.put(f"/plans/{plan['id']}", {"limits": {"guests": 2}})
    member.done("POST", "/proxmox/cts", container())
    in_use = admin.delete(f"/groups/{group['id']}")
    assert (in_use.status_code, in_use.get_json()["code"]) == (409, "group.in_use")
    assert admin.delete(f"/groups/{group['id']}/users/{user}").status_code == 204
    assert admin.delete(f"/groups/{group['id']}/users/{user}").status_code == 404
    assert admin.get(quota).get_json()["guests"] is None


def test_a_tenant_has_its_group_s_plan_and_keeps_it_when_it_leaves(house: House, admin: Caller) -> None:
    plan = make_plan(admin, limits={"guests": 1}, storages=["local-lvm"])
    larger = make_plan(admin, limits={"guests": 2}, storages=["local-lvm", "local"])
    group = make_group(admin, plan=plan["id"])
    tenant = house.make_tenant({"cores": 4})
    where = f"/groups/{group['id']}/tenants/{tenant['id']}"
    joined = admin.done("PUT", where)["result"]["tenant"]
    assert (joined["plan"], joined["quota"]["guests"], joined["quota"]["cores"]) == (plan["name"], 1, None)
    assert [row["id"] for row in admin.get(f"/groups/{group['id']}/tenants").get_json()["data"]] == [tenant["id"]]
    alone = admin.put(f"/tenants/{tenant['id']}/plan", {"plan": larger["id"]})
    assert (alone.status_code, alone.get_json()["code"]) == (409, "tenant.in_group")
    changed = admin.put(f"/groups/{group['id']}", {"plan": larger["name"]}).get_json()
    assert (changed["plan"], settled(admin, changed)) == (larger["name"], 1)
    now = shown(admin, tenant)
    assert (now["plan"], now["quota"]["guests"], now["storages"]) == (larger["name"], 2, ["local", "local-lvm"])
    assert paths(house, tenant) == {"/storage/local-lvm", "/storage/local", "/sdn/zones/localnetwork/vmbr0"}
    assert admin.delete(f"/groups/{group['id']}").get_json()["code"] == "group.in_use"
    assert admin.delete(where).status_code == 204
    assert admin.delete(where).status_code == 404
    assert shown(admin, tenant) == now
    assert admin.delete(f"/groups/{group['id']}").status_code == 204


def test_who_joins_a_group_leaves_the_other(house: House, admin: Caller) -> None:
    first, second = make_group(admin), make_group(admin)
    user = me(house.make_member(house.make_tenant()))["id"]
    for group in (first, second):
        assert admin.put(f"/groups/{group['id']}/users/{user}").status_code == 204
    counts = [admin.get(f"/groups/{group['id']}").get_json()["user_count"] for group in (first, second)]
    assert counts == [0, 1]
