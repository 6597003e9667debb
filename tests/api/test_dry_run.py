"""`dry_run=true`: the plan of a request, of which nothing is kept."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.house import Caller, House, container, vm


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant(quota={"memory": 1024, "running_memory": 128})


@pytest.fixture(scope="module")
def guest(member: Caller) -> dict[str, Any]:
    made: dict[str, Any] = member.done("POST", "/proxmox/cts", container(start=False))["result"]["guest"]
    return made


def everything(member: Caller, tenant: dict[str, Any]) -> list[Any]:
    """What a tenant has, as its member sees it, but when it was last seen in PVE."""
    paths = ("/proxmox/vms", "/proxmox/cts", "/operations?limit=100", f"/tenants/{tenant['id']}/usage")
    return [re.sub(r'"observed_at":"[^"]*"', "", member.get(path).get_data(as_text=True)) for path in paths]


def calls_of(plan: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(call["method"], call["path"], call["certain"]) for call in plan["calls"]]


def test_a_plan_tells_place_quota_and_calls_and_nothing_is_kept(
    house: House, member: Caller, tenant: dict[str, Any], guest: dict[str, Any]
) -> None:
    before, mark = everything(member, tenant), house.pve.mark()
    key = {"Idempotency_Key": uuid.uuid4().hex}
    body = vm(memory=64, cores=2, start=True, tags=["web"])
    answer = member.post("/proxmox/vms?dry_run=true", body, wait=5, **key)
    plan = answer.get_json()
    assert (answer.status_code, plan["dry_run"], plan["violations"]) == (200, True, [])
    place = plan["placement"]
    assert all(one["code"] and one["text"] for one in place["reasons"])
    others = {(one["node"], one["storage"]) for one in place["rejected"]}
    assert others
    assert (place["node"], place["storage"]) not in others
    quota = plan["quota"]
    assert quota["tenant"] == tenant["id"]
    assert {name: quota["after"][name] - amount for name, amount in quota["before"].items()} == {
        "guests": 1, "cores": 2, "memory": 64, "disk_gb": body["disk_gb"], "networks": 1, "snapshots": 0, "backups": 0,
        "running_cores": 2, "running_memory": 64,
    }  # fmt: skip
    assert (quota["limits"]["memory"], quota["limits"]["cores"]) == (1024, None)
    (create, start) = calls_of(plan)
    assert create == ("POST", f"/nodes/{place['node']}/qemu", True)
    assert start[1].endswith("/status/start")
    assert everything(member, tenant) == before
    assert house.pve.writes(mark) == []

    done = member.done("POST", "/proxmox/vms", {**body, "start": False}, **key)
    assert done["result"]["guest"]["node"] == place["node"], "the key was not used up, and the place is the same"
    member.done("DELETE", f"/proxmox/vms/{done['result']['guest']['id']}")


def test_what_would_be_refused_stands_in_the_plan(
    member: Caller, tenant: dict[str, Any], guest: dict[str, Any]
) -> None:
    before = everything(member, tenant)
    plan = member.post("/proxmox/cts?dry_run=true", container(memory=4096, start=True)).get_json()
    (violation,) = plan["violations"]
    assert (violation["code"], violation["status"], violation["limit"]) == ("quota.exceeded", 403, 1024)
    assert plan["quota"]["after"]["memory"] > plan["quota"]["limits"]["memory"]
    assert plan["placement"] is not None
    assert plan["calls"]
    plan = member.post("/proxmox/vms?dry_run=true", vm(memory=10**6)).get_json()
    assert {one["code"] for one in plan["violations"]} == {"capacity.exceeded"}
    assert (plan["placement"], plan["quota"], plan["calls"]) == (None, None, [])
    plan = member.post(f"/proxmox/cts/{guest['id']}/suspend?dry_run=true").get_json()
    assert [one["code"] for one in plan["violations"]] == ["guest.unsupported"]
    assert everything(member, tenant) == before


def test_many_at_once_are_one_plan(member: Caller, tenant: dict[str, Any], guest: dict[str, Any]) -> None:
    before = everything(member, tenant)
    body = {"name": "n-{n}", "count": 3, "spec": {"template_id": "debian-12", "memory": 64, "start": False}}
    plan = member.post("/proxmox/guests/batch?dry_run=true", body).get_json()
    assert plan["quota"]["after"]["guests"] - plan["quota"]["before"]["guests"] == 3
    assert len([call for call in calls_of(plan) if call[0] == "POST" and call[1].endswith("/lxc")]) == 3
    body["spec"]["memory"] = 400  # type: ignore[index]
    real, planned = (member.post(f"/proxmox/guests/batch{how}", body).get_json() for how in ("", "?dry_run=true"))
    (violation,) = planned["violations"]
    of_quota = ("code", "dimension", "limit", "used", "requested")
    assert [violation[name] for name in of_quota] == [real[name] for name in of_quota]
    assert (real["used"], real["requested"], real["limit"]) == (guest["memory"], 1200, 1024)
    body = {"action": "suspend", "guests": [guest["id"]]}
    plan = member.post("/proxmox/guests/actions?dry_run=true", body).get_json()
    assert [one["code"] for one in plan["violations"]] == ["guest.unsupported"]
    body = {"action": "delete", "guests": [guest["id"]]}
    plan = member.post("/proxmox/guests/actions?dry_run=true", body).get_json()
    assert ("DELETE", f"/nodes/{guest['node']}/lxc/{guest['vmid']}", False) in calls_of(plan)
    assert everything(member, tenant) == before


def test_who_may_not_and_what_is_wrong_is_refused_as_ever(
    house: House, member: Caller, tenant: dict[str, Any], guest: dict[str, Any]
) -> None:
    viewer = house.make_member(tenant, "viewer")
    assert viewer.post(f"/proxmox/cts/{guest['id']}/start?dry_run=true").status_code == 403
    stranger = house.make_member(house.make_tenant())
    assert stranger.post(f"/proxmox/cts/{guest['id']}/start?dry_run=true").status_code == 404
    assert list(member.post("/proxmox/cts?dry_run=true", container(memory=0)).get_json()["errors"]) == ["memory"]
    for path in ("/proxmox/cts?dry_run=perhaps", "/proxmox/cts?dry_run=true&dry_run=true", "/proxmox/cts?dryrun=true"):
        assert member.post(path, container()).status_code == 422
    assert member.get("/proxmox/cts?dry_run=true").status_code == 422
    assert member.post(f"/proxmox/cts/{guest['id']}/stop?dry_run=false", wait=60).status_code == 200


def test_changes_of_rows_alone_are_tried_too(house: House, tenant: dict[str, Any]) -> None:
    admin = house.admin()
    path = f"/tenants/{tenant['id']}/quota"
    before = admin.get(path).get_json()
    plan = admin.put(f"{path}?dry_run=true", {"cores": 3}).get_json()
    assert (plan["dry_run"], plan["calls"], plan["violations"]) == (True, [], [])
    assert admin.get(path).get_json() == before
    name = f"never-{uuid.uuid4().hex[:8]}"
    body = {"username": name, "password": "a long enough password", "role": "user"}
    assert admin.post("/users?dry_run=true", body).status_code == 200
    assert admin.get("/users?limit=100").get_data(as_text=True).count(name) == 0
    plan = admin.send("DELETE", f"/tenants/{tenant['id']}?dry_run=true").get_json()
    assert [one["code"] for one in plan["violations"]] == ["tenant.not_empty"]
    assert admin.send("DELETE", f"/tenants/{tenant['id']}?dry_run=true&cascade=true").get_json()["calls"]


def test_the_log_in_and_files_have_no_dry_run(house: House, member: Caller) -> None:
    body = {"username": "admin", "password": "no matter"}
    assert house.anonymous().post("/auth/login?dry_run=true", body).status_code == 422
    path = "/proxmox/storages/local/upload?filename=x.iso&content=iso&dry_run=true"
    assert house.admin().post(path, b"bytes").status_code == 422


def anywhere(path: str) -> str:
    """But for the id that is in the name of a tenant's PVE user."""
    return re.sub(r"ph-[^/]+@pve", "user", path.partition("?")[0].removeprefix("/api2/json"))


def test_what_administrators_plan_is_what_pve_gets(house: House, tenant: dict[str, Any]) -> None:
    """Walls, rights and groups of rules; for guests `tests/isolation/test_referee.py` compares each route."""
    admin, name = house.admin(), f"t-{uuid.uuid4().hex[:8]}"
    rule = {"type": "in", "action": "ACCEPT"}
    group = f"sg-{uuid.uuid4().hex[:8]}"
    steps: list[tuple[str, str, Any]] = [
        ("POST", "/tenants", {"name": name}),
        ("PUT", f"/tenants/{name}/plan", {"plan": f"plan-{name}"}),
        ("POST", "/proxmox/security-groups", {"name": group, "rules": [rule]}),
        ("PUT", f"/proxmox/security-groups/{group}", {"rules": [rule, {**rule, "action": "DROP"}]}),
        ("DELETE", f"/proxmox/security-groups/{group}", None),
        ("DELETE", f"/tenants/{name}", None),
    ]
    made = admin.post("/plans", {"name": f"plan-{name}", "storages": ["local-lvm"]})
    assert made.status_code == 201, made.get_data(as_text=True)
    for method, path, body in steps:
        mark = house.pve.mark()
        answer = admin.send(method, f"{path}?dry_run=true", body)
        plan = answer.get_json()
        assert (answer.status_code, plan.get("violations")) == (200, []), (path, plan)
        assert house.pve.writes(mark) == []
        admin.done(method, path, body)
        calls = {(call["method"], anywhere(call["path"])) for call in house.pve.writes(mark)}
        told = {(call["method"], anywhere(call["path"])): call["certain"] for call in plan["calls"]}
        assert calls
        assert calls <= told.keys(), path
        assert {call for call, certain in told.items() if certain} <= calls, path
    assert admin.delete(f"/plans/plan-{name}").status_code == 204
