"""Plans: limits and grants under a name, for as many tenants as have it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.house import Caller, House, container, vm, wait_for
from tests.tenants.test_tenants import walls


@pytest.fixture(scope="module")
def admin(house: House) -> Caller:
    return house.admin()


@pytest.fixture(scope="module")
def flavor(admin: Caller) -> str:
    name = f"tiny-{uuid.uuid4().hex[:6]}"
    assert admin.post("/flavors", {"name": name, "cores": 1, "memory": 64, "disk_gb": 1}).status_code == 201
    return name


def make_plan(admin: Caller, **said: Any) -> dict[str, Any]:
    answer = admin.post("/plans", {"name": f"Plan {uuid.uuid4().hex[:8]}", **said})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    made: dict[str, Any] = answer.get_json()
    return made


def settled(admin: Caller, changed: dict[str, Any]) -> int:
    """How many operations a change has begun, once they have succeeded."""
    for one in changed["operations"]:
        wait_for(lambda one=one: admin.get(f"/operations/{one}").get_json()["state"] == "succeeded")
    return len(changed["operations"])


def shown(admin: Caller, tenant: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = admin.get(f"/tenants/{tenant['id']}").get_json()
    return found


def paths(house: House, tenant: dict[str, Any]) -> set[str]:
    """Where PVE gives the tenant's user, and its token in the same way, any right on storages and bridges."""
    found = [{path for path, who, _ in walls(house, tenant)["acl"] if ("!" in who) == is_token} for is_token in (0, 1)]
    assert found[0] == found[1]
    return {path for path in found[0] if path.startswith(("/storage/", "/sdn/"))}


def test_a_plan_is_written_shown_changed_and_deleted(admin: Caller, flavor: str) -> None:
    said = {
        "description": "Thirty\nof them", "limits": {"guests": 4, "cores": None}, "storages": ["local-lvm", "local"],
        "default_storage": "local-lvm", "bridges": ["vmbr1", "vmbr0"], "default_bridge": "vmbr0", "vlan": 3001,
        "flavors": [flavor],
    }  # fmt: skip
    plan = make_plan(admin, **said)
    assert plan == {
        **plan, **said, "storages": ["local", "local-lvm"], "bridges": ["vmbr0", "vmbr1"], "limits": plan["limits"],
    }  # fmt: skip
    assert {name: amount for name, amount in plan["limits"].items() if amount is not None} == {"guests": 4}
    assert len(plan["limits"]) == 9
    for ref in (plan["id"], plan["name"], f"  {plan['name'].upper()}"):
        assert admin.get(f"/plans/{ref}").get_json() == plan
    assert plan in admin.get("/plans?limit=1000&sort=-created_at").get_json()["data"]
    change = {"limits": {"guests": None, "memory": 512}, "vlan": None, "flavors": None, "name": plan["name"].upper()}
    changed = admin.put(f"/plans/{plan['id']}", change).get_json()
    assert changed == {
        **plan, "name": plan["name"].upper(), "limits": {**plan["limits"], "guests": None, "memory": 512},
        "vlan": None, "flavors": None, "operations": [],
    }  # fmt: skip
    assert admin.delete(f"/plans/{plan['id']}").status_code == 204
    assert admin.get(f"/plans/{plan['id']}").status_code == 404


def test_a_plan_s_name_and_vlan_are_its_own(admin: Caller) -> None:
    plan = make_plan(admin, vlan=3002)
    for given, code in (
        ({"name": plan["name"].lower()}, "name.taken"),
        ({"name": uuid.uuid4().hex[:8], "vlan": 3002}, "vlan.taken"),
    ):
        answer = admin.post("/plans", given)
        assert (answer.status_code, answer.get_json()["code"]) == (409, code)
    other = make_plan(admin)
    assert admin.put(f"/plans/{other['id']}", {"vlan": 3002}).get_json()["code"] == "vlan.taken"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "a/b"}, "name"), ({"limits": {"cores": -1}}, "limits"), ({"limits": {"cores": 1.5}}, "limits"),
        ({"limits": {"wheels": 4}}, "limits"), ({"storages": ["nowhere"]}, "storages"),
        ({"default_storage": "nowhere"}, "default_storage"), ({"vlan": 0}, "vlan"), ({"vlan": 4095}, "vlan"),
        ({"storages": ["local"], "default_storage": "local-lvm"}, "default_storage"),
        ({"bridges": ["vmbr0"], "default_bridge": "vmbr1"}, "default_bridge"), ({"flavors": ["no-such"]}, "flavors"),
        ({"wheels": 4}, "wheels"), ({"bridges": ["../x"]}, "bridges"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plan_is_told_by_its_field(admin: Caller, given: dict[str, Any], field: str) -> None:
    answer = admin.post("/plans", {"name": f"Plan {uuid.uuid4().hex[:8]}", **given})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])


def test_a_tenant_is_made_by_its_plan_and_has_what_is_named_beside_it_before_that(house: House, admin: Caller) -> None:
    plan = make_plan(admin, limits={"guests": 2, "cores": 3}, storages=["local-lvm"], bridges=["vmbr0", "vmbr1"])
    tenant = house.make_tenant(plan=plan["name"])
    assert (tenant["plan"], tenant["storages"], tenant["bridges"]) == (plan["name"], ["local-lvm"], ["vmbr0", "vmbr1"])
    assert (tenant["quota"]["guests"], tenant["quota"]["cores"], tenant["quota"]["memory"]) == (2, 3, None)
    at = "/sdn/zones/localnetwork"
    assert paths(house, tenant) == {"/storage/local-lvm", f"{at}/vmbr0", f"{at}/vmbr1"}
    other = house.make_tenant({"cores": None, "memory": 64}, plan=plan["id"], storages=["local"])
    assert (other["quota"]["guests"], other["quota"]["cores"], other["quota"]["memory"]) == (2, None, 64)
    assert (other["storages"], other["bridges"]) == (["local"], ["vmbr0", "vmbr1"])
    assert admin.get(f"/tenants/{other['id']}/quota").get_json() == other["quota"]
    refused = admin.post("/tenants", {"name": "No plan", "plan": "no such plan"})
    assert (refused.status_code, list(refused.get_json()["errors"])) == (422, ["plan"])


def test_l125_a_change_counts_for_all_who_have_the_plan_at_once_and_may_lie_below_what_is_used(
    house: House, admin: Caller
) -> None:
    """What was set for the very tenant stays before it."""
    plan = make_plan(admin, limits={"guests": 2, "memory": 1024})
    tenants = [house.make_tenant(plan=plan["id"]), house.make_tenant({"guests": 5}, plan=plan["id"])]
    members = [house.make_member(tenant) for tenant in tenants]
    for member in members:
        member.done("POST", "/proxmox/cts", container())
    assert admin.put(f"/plans/{plan['id']}", {"limits": {"guests": 0, "cores": 7}}).get_json()["operations"] == []
    assert [shown(admin, tenant)["quota"]["guests"] for tenant in tenants] == [0, 5]
    assert [shown(admin, tenant)["quota"]["cores"] for tenant in tenants] == [7, 7]
    assert [shown(admin, tenant)["quota"]["memory"] for tenant in tenants] == [1024, 1024]
    refused = members[0].post("/proxmox/cts", container())
    assert (refused.status_code, refused.get_json()["limit"], refused.get_json()["used"]) == (403, 0, 1)
    assert admin.put(f"/tenants/{tenants[0]['id']}/quota", {"guests": None}).get_json()["guests"] is None
    members[0].done("POST", "/proxmox/cts", container())


def test_other_storages_and_bridges_reach_pve_for_all_who_have_the_plan(house: House, admin: Caller) -> None:
    plan = make_plan(admin, storages=["local-lvm", "local"], bridges=["vmbr0"])
    tenants = [house.make_tenant(plan=plan["id"]) for _ in range(2)]
    changed = admin.put(f"/plans/{plan['id']}", {"storages": ["local-lvm"], "bridges": ["vmbr1"]}).get_json()
    assert settled(admin, changed) == 2
    for tenant in tenants:
        now = shown(admin, tenant)
        assert (now["storages"], now["bridges"]) == (["local-lvm"], ["vmbr1"])
        assert paths(house, tenant) == {"/storage/local-lvm", "/sdn/zones/localnetwork/vmbr1"}


def test_a_tenant_gets_another_plan_and_keeps_what_it_has_without_one(house: House, admin: Caller) -> None:
    tenant = house.make_tenant({"guests": 9, "cores": 9}, storages=["local"])
    plan = make_plan(admin, limits={"guests": 1}, storages=["local-lvm"])
    given = admin.done("PUT", f"/tenants/{tenant['id']}/plan", {"plan": plan["name"]})["result"]["tenant"]
    assert given == shown(admin, tenant)
    assert (given["plan"], given["storages"], given["bridges"]) == (plan["name"], ["local-lvm"], ["vmbr0"])
    assert (given["quota"]["guests"], given["quota"]["cores"]) == (1, None)
    assert paths(house, tenant) == {"/storage/local-lvm", "/sdn/zones/localnetwork/vmbr0"}
    in_use = admin.delete(f"/plans/{plan['id']}")
    assert (in_use.status_code, in_use.get_json()["code"]) == (409, "plan.in_use")
    taken = admin.done("PUT", f"/tenants/{tenant['id']}/plan", {"plan": None})["result"]["tenant"]
    assert taken == {**given, "plan": None}
    assert admin.delete(f"/plans/{plan['id']}").status_code == 204
    assert shown(admin, tenant)["quota"] == given["quota"]


def test_a_refused_right_leaves_what_was_granted(house: House, admin: Caller) -> None:
    tenant = house.make_tenant(storages=["local-lvm"])
    before, plan = paths(house, tenant), make_plan(admin, storages=["local"])
    with house.pve.fault(method="PUT", path="/access/acl", kind="refuse", status=500, text="acl is broken", count=1):
        answer = admin.send("PUT", f"/tenants/{tenant['id']}/plan", {"plan": plan["id"]}, wait=30)
    assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.refused")
    assert (paths(house, tenant), shown(admin, tenant)["storages"]) == (before, ["local-lvm"])


def test_a_plan_that_names_no_storage_of_the_cluster_is_not_given(house: House, admin: Caller) -> None:
    with house.another_storage(name="shelf") as storage:
        plan = make_plan(admin, storages=[storage])
    tenant = house.make_tenant()
    answer = admin.put(f"/tenants/{tenant['id']}/plan", {"plan": plan["id"]})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["plan"])
    assert shown(admin, tenant)["plan"] is None


def test_a_flavor_that_a_plan_names_is_not_deleted(admin: Caller, flavor: str) -> None:
    plan = make_plan(admin, flavors=[flavor])
    answer = admin.delete(f"/flavors/{flavor}")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "flavor.in_use")
    assert admin.delete(f"/plans/{plan['id']}").status_code == 204


def test_a_member_sees_the_plan_of_his_tenant_and_no_other(house: House, admin: Caller) -> None:
    plan, other = make_plan(admin), make_plan(admin)
    member = house.make_member(house.make_tenant(plan=plan["id"]))
    assert member.get("/plans").get_json()["data"] == [plan]
    assert member.get(f"/plans/{plan['name']}").get_json() == plan
    hidden, missing = member.get(f"/plans/{other['id']}"), member.get(f"/plans/{uuid.uuid4()}")
    assert hidden.status_code == missing.status_code == 404
    assert member.put(f"/plans/{plan['id']}", {"vlan": 5}).status_code == 403


def card(house: House, guest: dict[str, Any]) -> set[str]:
    kind = "lxc" if guest["kind"] == "ct" else "qemu"
    config = house.pve.get(f"/nodes/{guest['node']}/{kind}/{guest['vmid']}/config")
    return set(config["net0"].split(","))


@pytest.mark.parametrize("kind", ["ct", "vm"])
def test_guests_stand_on_the_plan_s_vlan_bridge_and_storage_unless_they_name_another(
    house: House, admin: Caller, kind: str
) -> None:
    """L14: a tag is its plan's, and nobody else's."""
    tag = {"ct": 3101, "vm": 3102}[kind]
    with house.another_storage():
        plan = make_plan(admin, vlan=tag, default_bridge="vmbr1", default_storage="vault", bridges=["vmbr0", "vmbr1"])
        member = house.make_member(house.make_tenant(plan=plan["id"]))
        stranger = house.make_member(house.make_tenant())
        body, path = {"ct": container, "vm": vm}[kind], f"/proxmox/{kind}s"
        guest = member.done("POST", path, body())["result"]["guest"]
        assert {f"tag={tag}", "bridge=vmbr1"} <= card(house, guest)
        stored = house.pve.get(f"/nodes/{guest['node']}/{'lxc' if kind == 'ct' else 'qemu'}/{guest['vmid']}/config")
        assert "vault:" in str(stored)
        named = body(storage="local-lvm", net={"bridge": "vmbr0", "vlan": tag})
        other = member.done("POST", path, named)["result"]["guest"]
        assert {f"tag={tag}", "bridge=vmbr0"} <= card(house, other)
        for asker, net in ((member, {"vlan": 7}), (stranger, {"vlan": tag})):
            refused = asker.post(path, body(net=net))
            assert refused.get_json()["errors"] == {"net": {"vlan": ["is not a VLAN that you may use"]}}
        for net in ({"vlan": 7}, {"vlan": 0}):
            assert member.patch(f"{path}/{other['id']}", {"net": net}).status_code == 422
        own = stranger.done("POST", path, body(storage="local-lvm"))["result"]["guest"]
        assert stranger.patch(f"{path}/{own['id']}", {"net": {"vlan": tag}}).status_code == 422
        member.done("PATCH", f"{path}/{other['id']}", {"net": {"bridge": "vmbr1"}})
        assert {f"tag={tag}", "bridge=vmbr1"} <= card(house, other)
        for one in (guest, other):
            member.done("DELETE", f"{path}/{one['id']}")


def test_a_clone_comes_into_the_vlan_of_its_tenant(house: House, admin: Caller) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    source = member.done("POST", "/proxmox/cts", container(net={"vlan": 8}))["result"]["guest"]
    plan = make_plan(admin, vlan=3103)
    admin.done("PUT", f"/tenants/{tenant['id']}/plan", {"plan": plan["id"]})
    clone = member.done("POST", f"/proxmox/cts/{source['id']}/clone", {"name": "tagged"})["result"]["guest"]
    assert "tag=3103" in card(house, clone)
    assert "tag=8" in card(house, source)
    made = member.done("POST", "/proxmox/vms/9000/clone", {"name": "published"})["result"]["guest"]
    assert "tag=3103" in card(house, made)


@pytest.mark.parametrize("kind", ["cts", "vms"])
def test_what_comes_back_comes_into_the_vlan_of_its_tenant(house: House, admin: Caller, kind: str) -> None:
    """An archive, a rebuilt guest or a changed card from before the plan is no way out of it."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    tag = 3105 if kind == "cts" else 3106
    template = {"cts": "debian-12", "vms": "debian-12-vm"}[kind]
    body = container() if kind == "cts" else vm(template=template, disk_gb=2)
    source = member.done("POST", f"/proxmox/{kind}", body)["result"]["guest"]
    path = f"/proxmox/{kind}/{source['id']}"
    backup = member.done("POST", f"{path}/backups")["result"]["backup"]["id"]
    admin.done("PUT", f"/tenants/{tenant['id']}/plan", {"plan": make_plan(admin, vlan=tag)["id"]})
    assert not any(part.startswith("tag=") for part in card(house, source))
    restored = member.done("POST", f"{path}/backups/{backup}/restore", {"as_new": True})["result"]["guest"]
    assert f"tag={tag}" in card(house, restored)
    member.done("PATCH", path, {"net": {"rate": 5}})
    assert f"tag={tag}" in card(house, source)
    member.done("POST", f"{path}/backups/{backup}/restore")
    assert f"tag={tag}" in card(house, source)
    member.done("POST", f"{path}/rebuild", {"template": template})
    assert f"tag={tag}" in card(house, source)


def test_a_deployment_names_only_flavors_that_all_its_plans_allow(house: House, admin: Caller, flavor: str) -> None:
    """L125: the tenant's, and that of the user's group."""
    sizes = [f"size-{uuid.uuid4().hex[:6]}" for _ in range(2)]
    for name in sizes:
        admin.post("/flavors", {"name": name, "cores": 1, "memory": 64, "disk_gb": 1})
    of_tenant, of_group = make_plan(admin, flavors=[flavor, sizes[0]]), make_plan(admin, flavors=[flavor, sizes[1]])
    group = admin.post("/groups", {"name": f"Group {uuid.uuid4().hex[:8]}", "plan": of_group["id"]}).get_json()
    member = house.make_member(house.make_tenant(plan=of_tenant["id"]))
    body = {"name": "sized", "template_id": "debian-12", "start": False}
    member.done("POST", "/deployments", {**body, "flavor": sizes[0]})
    assert {row["name"] for row in member.get("/flavors").get_json()["data"]} == {flavor, sizes[0]}
    assert {flavor, *sizes} <= {row["name"] for row in admin.get("/flavors?limit=1000").get_json()["data"]}
    admin.put(f"/groups/{group['id']}/users/{member.get('/auth/me').get_json()['id']}")
    assert [row["name"] for row in member.get("/flavors").get_json()["data"]] == [flavor]
    for name in (*sizes, "no-such"):
        refused = member.post("/deployments", {**body, "flavor": name})
        assert (refused.status_code, list(refused.get_json()["errors"])) == (422, ["flavor"])
    member.done("POST", "/deployments", {**body, "flavor": flavor})


def test_l125_a_user_uses_of_his_tenant_s_storages_and_bridges_those_of_his_group(house: House, admin: Caller) -> None:
    plan = make_plan(admin, storages=["local"], bridges=["vmbr1"], vlan=3104)
    group = admin.post("/groups", {"name": f"Group {uuid.uuid4().hex[:8]}", "plan": plan["id"]}).get_json()
    member = house.make_member(house.make_tenant(storages=["local", "local-lvm"], bridges=["vmbr0", "vmbr1"]))
    admin.put(f"/groups/{group['id']}/users/{member.get('/auth/me').get_json()['id']}")
    for given, field in (({"storage": "local-lvm"}, "storage"), ({"net": {"bridge": "vmbr0"}}, "net")):
        refused = member.post("/proxmox/vms", vm(**given))
        assert (refused.status_code, list(refused.get_json()["errors"])) == (422, [field])
    changed = admin.put(f"/plans/{plan['id']}", {"storages": ["local", "local-lvm"]})
    assert changed.get_json()["operations"] == []
    guest = member.done("POST", "/proxmox/vms", vm())["result"]["guest"]
    assert {"bridge=vmbr1", "tag=3104"} <= card(house, guest)
