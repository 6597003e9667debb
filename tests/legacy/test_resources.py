"""Guests as the front end has them: by number, in its own words, as they were accepted to be."""

from __future__ import annotations

import dataclasses
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app import create_app
from tests.house import Caller, House, container, vm, wait_for

OPEN = ("pending", "running", "unwinding")


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant({"guests": 6, "cores": 12}, storages=["local-lvm", "local"], bridges=["vmbr0"])


@pytest.fixture(scope="module")
def hasty(house: House, member: Caller) -> Caller:
    """The same caller where nobody waits."""
    app = create_app(dataclasses.replace(house.settings, front_end_wait=0))
    return Caller(app.test_client(), member.token)


@pytest.fixture
def vmid(member: Caller) -> Any:
    """A container that runs; it is gone afterwards."""
    answer = deployed(member)
    yield answer["vmid"]
    if row_of(member, answer["vmid"]) is not None:
        done(member.delete(f"/provisioning/resources/{answer['vmid']}"))


def deployed(member: Caller, template: str = "debian-12", **more: Any) -> dict[str, Any]:
    body = {"template_id": offered(member, template)["id"], "name": name(), "cpu": 1, "memory": 128, **more}
    return done(member.post("/provisioning/deploy", body))


def done(answer: TestResponse, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data(as_text=True)
    told: dict[str, Any] = answer.get_json()
    assert told["success"] is True
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"] == f"/api/operations/{told['operation']['id']}"
    return told


def name() -> str:
    return f"r-{uuid.uuid4().hex[:8]}"


def offered(member: Caller, template: str) -> dict[str, Any]:
    return next(one for one in member.get("/catalog/templates").get_json() if one["name"] == template)


def rows(caller: Caller) -> list[dict[str, Any]]:
    answer = caller.get("/provisioning/resources")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.get_json()
    assert isinstance(found, list)
    return found


def row_of(caller: Caller, vmid: int) -> dict[str, Any] | None:
    return next((row for row in rows(caller) if row["vmid"] == vmid), None)


def used(caller: Caller) -> dict[str, int]:
    found: dict[str, int] = caller.get("/auth/me").get_json()["quota"]["used"]
    return found


def ended(caller: Caller, told: Mapping[str, Any]) -> dict[str, Any]:
    def end() -> Any:
        operation = caller.get(f"/operations/{told['operation']['id']}").get_json()
        return operation if operation["state"] not in OPEN else None

    found: dict[str, Any] = wait_for(end)
    return found


def test_the_catalog_is_an_array_of_what_the_home_tenant_may_deploy(member: Caller) -> None:
    found = {one["name"]: one for one in member.get("/catalog/templates").get_json()}
    assert found["debian-12"] | {"id": ""} == {
        "id": "", "name": "debian-12", "type": "lxc", "description": "Debian 12, a container", "category": "os",
        "logo_url": None, "specs": {"cpu": 1, "memory": 512, "storage": 1},
    }  # fmt: skip
    assert found["debian-12-vm"]["type"] == "qemu"


@pytest.mark.parametrize("template", ["debian-12", "debian-12-vm"])
def test_a_deployed_guest_of_either_kind_lives_through_all_that_the_front_end_does(
    house: House, member: Caller, template: str
) -> None:
    was = used(member)
    told = deployed(member, template)
    assert (told["status"], told["message"]) == ("running", "Deployed.")
    assert len(told["password"]) >= 16
    vmid, folder = told["vmid"], {"debian-12": "lxc", "debian-12-vm": "qemu"}[template]
    row = row_of(member, vmid)
    assert row is not None
    assert {**row, "id": "", "name": "", "created_at": ""} == {
        "id": "", "vmid": vmid, "name": "", "type": folder, "status": "running", "cpu": 1, "ram": 128,
        "storage": offered(member, template)["specs"]["storage"], "created_at": "",
    }  # fmt: skip
    assert rows(member)[-1] == row, "newest last"
    (there,) = (one for one in house.pve.guests() if one["vmid"] == vmid)
    assert house.pve.get(f"/nodes/{there['node']}/{folder}/{vmid}/config")["onboot"] == 1
    path = f"/provisioning/resources/{vmid}"
    for action, status in (("start", "running"), ("reboot", "running"), ("stop", "stopped"), ("stop", "stopped")):
        assert done(member.post(f"{path}/{action}"))["status"] == status
        assert (row_of(member, vmid) or {})["status"] == status
    refused = member.post(f"{path}/reboot")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.not_running")
    assert done(member.post(f"{path}/start"))["status"] == "running"
    scaled = done(member.put(f"{path}/scale", {"cores": 2, "memory": 640}))
    assert scaled["new_specs"] == {"cpu": 2, "ram": 640}
    assert used(member)["cpu"] == was["cpu"] + 2
    taken = done(member.post(f"{path}/snapshots", {"name": "pre-deploy", "description": "before 2.0"}))
    (point,) = member.get(f"{path}/snapshots").get_json()
    assert point | {"snaptime": 0} == {
        "name": "pre-deploy", "description": "before 2.0", "snaptime": 0, "vmstate": False, "parent": None,
    }  # fmt: skip
    assert abs(point["snaptime"] - time.time()) < 600
    assert taken["message"] == "Snapshot taken."
    assert done(member.post(f"{path}/snapshots/pre-deploy/rollback"))["status"] == "running"
    done(member.delete(f"{path}/snapshots/pre-deploy"))
    assert member.get(f"{path}/snapshots").get_json() == []
    done(member.post(f"{path}/snapshots", {}))
    (unnamed,) = member.get(f"{path}/snapshots").get_json()
    assert re.fullmatch(rf"snap_{vmid}_[0-9]+", unnamed["name"])
    done(member.delete(path))
    assert row_of(member, vmid) is None
    assert used(member) == was


def test_a_frozen_vm_is_started_by_going_on(member: Caller) -> None:
    made = member.done("POST", "/proxmox/vms", vm(start=True))["result"]["guest"]
    member.done("POST", f"/proxmox/vms/{made['id']}/suspend")
    assert (row_of(member, made["vmid"]) or {})["status"] == "paused"
    assert done(member.post(f"/provisioning/resources/{made['vmid']}/start"))["status"] == "running"
    done(member.delete(f"/provisioning/resources/{made['vmid']}"))


def test_a_guest_that_does_not_obey_is_stopped_by_stop(house: House, member: Caller, vmid: int) -> None:
    with house.pve.inside(vmid, deaf=True):
        assert done(member.post(f"/provisioning/resources/{vmid}/stop"))["status"] == "stopped"


def test_lists_show_what_was_accepted(house: House, member: Caller, hasty: Caller) -> None:
    """Without any waiting, read at once after the 202, while PVE still works on it."""
    was = used(hasty)
    body = {"template_id": offered(member, "debian-12")["id"], "name": name()}
    with house.pve.fault(kind="task_slow", task="vzcreate", seconds=1):
        begun = done(hasty.post("/provisioning/deploy", body), 202)
        row = row_of(hasty, begun["vmid"])
        assert (begun["status"], (row or {})["status"], begun["message"]) == (
            "provisioning", "provisioning", "Deploy accepted.",
        )  # fmt: skip
        assert used(hasty)["vms"] == was["vms"] + 1
        assert hasty.get(f"/provisioning/resources/{begun['vmid']}/snapshots").get_json() == []
        assert ended(hasty, begun)["state"] == "succeeded"
    vmid, path = begun["vmid"], f"/provisioning/resources/{begun['vmid']}"
    assert (row_of(hasty, vmid) or {})["status"] == "running"

    def accepted(task: str, answer: Any, seen: Any, after: Any) -> None:
        with house.pve.fault(kind="task_slow", task=task, seconds=1):
            told = done(answer(), 202)
            assert seen(), task
            assert ended(hasty, told)["state"] == "succeeded"
        assert after(), task

    def is_status(status: str) -> Any:
        return lambda: (row_of(hasty, vmid) or {}).get("status") == status

    def names() -> list[str]:
        return [one["name"] for one in hasty.get(f"{path}/snapshots").get_json()]

    moving = is_status("provisioning")
    accepted("vzreboot", lambda: hasty.post(f"{path}/reboot"), moving, is_status("running"))
    accepted("vzsnapshot", lambda: hasty.post(f"{path}/snapshots", {"name": "s1"}), lambda: names() == ["s1"],
             lambda: names() == ["s1"])  # fmt: skip
    accepted("vzrollback", lambda: hasty.post(f"{path}/snapshots/s1/rollback"), moving, is_status("running"))
    accepted("vzdelsnapshot", lambda: hasty.delete(f"{path}/snapshots/s1"), lambda: names() == [],
             lambda: names() == [])  # fmt: skip
    accepted("vzshutdown", lambda: hasty.post(f"{path}/stop"), moving, is_status("stopped"))
    accepted("vzstart", lambda: hasty.post(f"{path}/start"), moving, is_status("running"))
    accepted("vzstop|vzdestroy", lambda: hasty.delete(path), lambda: row_of(hasty, vmid) is None,
             lambda: used(hasty) == was)  # fmt: skip


def test_an_accepted_scale_is_shown_and_counted_at_once_and_goes_back_when_it_fails(
    house: House, hasty: Caller, vmid: int
) -> None:
    path, was = f"/provisioning/resources/{vmid}", used(hasty)
    with house.pve.fault(kind="delay", path=f"/{vmid}/config", method="PUT", seconds=1):
        told = done(hasty.put(f"{path}/scale", {"cores": 3, "memory": 256}), 202)
        row = row_of(hasty, vmid) or {}
        assert (row["cpu"], row["ram"], row["status"]) == (3, 256, "running")
        assert used(hasty)["cpu"] == was["cpu"] + 2
        assert ended(hasty, told)["state"] == "succeeded"
    assert (row_of(hasty, vmid) or {})["cpu"] == 3
    with house.pve.fault(kind="refuse", path=f"/{vmid}/config", method="PUT", status=500, text="no"):
        assert ended(hasty, done(hasty.put(f"{path}/scale", {"cores": 4, "memory": 256}), 202))["state"] == "failed"
    assert (row_of(hasty, vmid) or {})["cpu"] == 3
    assert used(hasty)["cpu"] == was["cpu"] + 2


def test_a_change_waits_for_the_open_one_and_is_busy_without_waiting(
    house: House, member: Caller, hasty: Caller, vmid: int
) -> None:
    path = f"/provisioning/resources/{vmid}"
    with house.pve.fault(kind="task_slow", task="vzsnapshot", seconds=1):
        done(hasty.post(f"{path}/snapshots", {"name": "before"}), 202)
        busy = hasty.post(f"{path}/snapshots/before/rollback")
        assert (busy.status_code, busy.get_json()["code"]) == (409, "guest.busy")
        assert done(member.post(f"{path}/snapshots/before/rollback", Idempotency_Key=name()))["status"] == "running"


def test_an_idempotency_key_gives_the_same_answer_in_the_front_end_s_words(member: Caller, vmid: int) -> None:
    path, key = f"/provisioning/resources/{vmid}/scale", name()
    first = member.put(path, {"cores": 2, "memory": 128}, Idempotency_Key=key)
    assert member.put(path, {"cores": 2, "memory": 128}, Idempotency_Key=key).get_json() == first.get_json()


def test_a_failed_deploy_is_told_and_leaves_nothing(house: House, member: Caller) -> None:
    was, before = used(member), rows(member)
    body = {"template_id": offered(member, "debian-12")["id"], "name": name()}
    with house.pve.fault(kind="task_fails", task="vzcreate", text="no space left", count=1):
        answer = member.post("/provisioning/deploy", body)
    assert answer.status_code == 507, answer.get_data(as_text=True)
    assert isinstance(answer.get_json()["error"], str)
    assert (used(member), rows(member)) == (was, before)


def test_what_is_refused_at_once_is_one_sentence(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    template = offered(member, "debian-12")["id"]
    missing = str(uuid.uuid4())
    viewer, admin = house.make_member(tenant, "viewer"), house.admin()
    for caller, body, status, code in (
        (member, {"template_id": template, "name": "web", "cpu": 100}, 403, "quota.exceeded"),
        (member, {"template_id": missing, "name": "web"}, 404, "not_found"),
        (member, {"template_id": template, "name": "-a-"}, 422, "validation.failed"),
        (member, {"template_id": template, "name": "a" * 64}, 422, "validation.failed"),
        (member, {"template_id": template, "name": "web", "memory": 0}, 422, "validation.failed"),
        (member, {"template_id": template, "name": "web", "node": "n1"}, 422, "validation.failed"),
        (member, {"name": "web"}, 422, "validation.failed"),
        (viewer, {"template_id": template, "name": "web"}, 403, "policy.forbidden"),
        (admin, {"template_id": template, "name": "web"}, 422, "tenant.required"),
    ):
        told = caller.post("/provisioning/deploy", body).get_json()
        assert (told["status"], told["code"]) == (status, code), (body, told)
        assert isinstance(told["error"], str)
        assert told["error"] == told["description"] != ""
    small = member.post("/provisioning/deploy", {"template_id": offered(member, "debian-12-vm")["id"], "name": "web",
                                                 "storage": 1})  # fmt: skip
    assert (small.status_code, list(small.get_json()["errors"])) == (422, ["storage"])


def test_what_a_guest_refuses_is_one_sentence(member: Caller, vmid: int) -> None:
    path = f"/provisioning/resources/{vmid}"
    beyond = member.put(f"{path}/scale", {"cores": 100, "memory": 128})
    assert (beyond.status_code, beyond.get_json()["description"][:16]) == (403, "Not enough cores")
    done(member.post(f"{path}/snapshots", {"name": "before"}))
    for body, status, code in (
        ({"name": "a b"}, 422, "validation.failed"),
        ({"name": "current"}, 422, "validation.failed"),
        ({"name": "before"}, 409, "snapshot.exists"),
    ):
        answer = member.post(f"{path}/snapshots", body)
        assert (answer.status_code, answer.get_json()["code"]) == (status, code)
        assert isinstance(answer.get_json()["error"], str)


def test_a_guest_that_somebody_removed_behind_our_back_is_deleted(house: House, member: Caller) -> None:
    was = used(member)
    vmid = deployed(member)["vmid"]
    (there,) = (one for one in house.pve.guests() if one["vmid"] == vmid)
    house.pve.delete(f"/nodes/{there['node']}/lxc/{vmid}?force=1&purge=1")
    wait_for(lambda: (row_of(member, vmid) or {}).get("status") == "unknown", every=0.2)
    done(member.delete(f"/provisioning/resources/{vmid}"))
    assert used(member) == was


def test_lists_are_of_the_home_tenant_and_cost_pve_nothing(house: House, member: Caller) -> None:
    assert rows(house.admin()) == []
    user = member.get("/auth/me").get_json()
    other = house.make_tenant()
    house.admin().post(f"/tenants/{other['id']}/members", {"username": user["username"], "role": "operator"})
    elsewhere = member.done("POST", "/proxmox/cts", container(tenant=other["id"]))["result"]["guest"]
    mark = house.pve.mark()
    assert elsewhere["vmid"] not in {row["vmid"] for row in rows(member)}
    assert member.get(f"/provisioning/resources/{elsewhere['vmid']}/snapshots").status_code == 200
    mine = {call["path"] for call in house.pve.calls(mark) if call["user"] != "root@pam!poolhouse"}
    assert mine == set()
    house.admin().delete(f"/tenants/{other['id']}/members/{user['id']}")


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("POST", "/start", None), ("POST", "/stop", None), ("POST", "/reboot", None), ("DELETE", "", None),
        ("PUT", "/scale", {"cores": 2, "memory": 256}), ("GET", "/snapshots", None),
        ("POST", "/snapshots", {"name": "mine"}), ("POST", "/snapshots/mine/rollback", None),
        ("DELETE", "/snapshots/mine", None),
    ],
)  # fmt: skip
def test_another_tenant_s_number_looks_like_one_that_is_not_there(
    house: House, member: Caller, stranger: Caller, standing: int, method: str, below: str, body: Any
) -> None:
    mark, was = house.pve.mark(), row_of(member, standing)
    given = [stranger.send(method, f"/provisioning/resources/{vmid}{below}", body) for vmid in (standing, 19_998)]
    assert [answer.status_code for answer in given] == [404, 404]
    told = [answer.get_json() | {"instance": "", "request_id": ""} for answer in given]
    assert told[0] == told[1]
    assert row_of(member, standing) == was
    assert [call for call in house.pve.writes(mark) if f"/{standing}" in call["path"]] == []


@pytest.fixture(scope="module")
def stranger(house: House) -> Caller:
    return house.make_member(house.make_tenant(), "owner")


@pytest.fixture(scope="module")
def standing(member: Caller) -> Any:
    vmid = deployed(member)["vmid"]
    yield vmid
    done(member.delete(f"/provisioning/resources/{vmid}"))
