"""Many guests in one request: on quota all or none, else each for itself."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.house import Caller, House, container, vm, wait_for


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant(quota={"running_memory": 256})


@pytest.fixture(scope="module")
def guests(member: Caller) -> list[dict[str, Any]]:
    bodies = [("cts", container(memory=64)), ("vms", vm(memory=64)), ("cts", container(memory=64))]
    return [member.done("POST", f"/proxmox/{kind}", body)["result"]["guest"] for kind, body in bodies]


def acted(member: Caller, action: str, guests: list[str], **more: Any) -> list[dict[str, Any]]:
    answer = member.post("/proxmox/guests/actions", {"action": action, "guests": guests, **more})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: list[dict[str, Any]] = answer.get_json()["data"]
    for item in found:
        if item["operation"] is not None:
            path = f"/operations/{item['operation']['id']}"
            wait_for(lambda path=path: member.get(path).get_json()["state"] == "succeeded", within=60)
    return found


def states(member: Caller) -> set[str]:
    rows = [*member.get("/proxmox/cts").get_json()["data"], *member.get("/proxmox/vms").get_json()["data"]]
    return {row["state"] for row in rows}


def test_guests_of_both_kinds_in_the_order_asked_for(member: Caller, guests: list[dict[str, Any]]) -> None:
    wanted = [guest["id"] for guest in reversed(guests)]
    started = acted(member, "start", [str(guests[2]["vmid"]), *wanted])
    assert [(item["guest"], item["error"]) for item in started] == [(guest, None) for guest in wanted]
    assert states(member) == {"running"}
    frozen = acted(member, "suspend", wanted)
    assert [item["error"] and item["error"]["code"] for item in frozen] == [
        "guest.unsupported",
        None,
        "guest.unsupported",
    ]
    assert [item["error"]["status"] for item in frozen if item["error"]] == [409, 409]
    acted(member, "resume", [guests[1]["id"]])
    acted(member, "stop", wanted, force=True)
    assert states(member) == {"stopped"}


def test_who_waits_is_shown_how_each_ended(house: House, member: Caller, guests: list[dict[str, Any]]) -> None:
    wanted, vmid = [guest["id"] for guest in guests], guests[2]["vmid"]
    body, key = {"action": "start", "guests": wanted}, {"Idempotency_Key": uuid.uuid4().hex}
    with house.pve.fault(kind="refuse", method="POST", path=f"/lxc/{vmid}/status/start", status=500, text="no"):
        answer = member.post("/proxmox/guests/actions", body, wait=60, **key)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=60")
    ended = [item["operation"] for item in answer.get_json()["data"]]
    assert [operation["state"] for operation in ended] == ["succeeded", "succeeded", "failed"]
    assert [operation["guest"] for operation in ended] == wanted
    assert ended[0]["result"]["guest"]["state"] == "running"
    assert (ended[2]["error"]["code"], ended[2]["error"]["status"]) == ("pve.refused", 502)
    again = member.post("/proxmox/guests/actions", body, wait=60, **key)
    assert [item["operation"] for item in again.get_json()["data"]] == ended
    planned = member.post("/proxmox/guests/actions?dry_run=true", {**body, "guests": wanted[2:]}, wait=60)
    assert "calls" in planned.get_json()
    stopped = member.post("/proxmox/guests/actions", {**body, "action": "stop", "force": True}, wait=60).get_json()
    assert {item["operation"]["state"] for item in stopped["data"]} == {"succeeded"}
    assert states(member) == {"stopped"}


def test_without_room_for_all_of_them_none_is_touched(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    more = [member.done("POST", "/proxmox/cts", container(memory=128))["result"]["guest"]["id"] for _ in range(3)]
    mark = house.pve.mark()
    refused = member.post("/proxmox/guests/actions", {"action": "start", "guests": more})
    assert (refused.status_code, refused.get_json()["code"]) == (403, "quota.exceeded")
    assert house.pve.writes(mark) == []
    assert member.get(f"/tenants/{tenant['id']}/usage").get_json()["running"]["memory"] == 0
    deleted = acted(member, "delete", more)
    assert all(item["error"] is None for item in deleted)


def test_one_of_anothers_stops_the_whole(house: House, member: Caller, guests: list[dict[str, Any]]) -> None:
    other = house.make_member(house.make_tenant()).done("POST", "/proxmox/cts", container())["result"]["guest"]
    own = guests[0]["id"]
    answers = []
    for foreign in (other["id"], str(uuid.uuid4()), str(other["vmid"]), "19998"):
        answer = member.post("/proxmox/guests/actions", {"action": "start", "guests": [own, foreign]})
        assert answer.status_code == 422
        answers.append(str(answer.get_json()["errors"]).replace(foreign, ""))
    assert len(set(answers)) == 1
    assert states(member) == {"stopped"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"action": "melt"}, "action"),
        ({"guests": []}, "guests"),
        ({"guests": ["99"]}, "guests"),
        ({"force": 1}, "force"),
    ],
)
def test_what_is_no_request(member: Caller, guests: list[dict[str, Any]], given: dict[str, Any], field: str) -> None:
    body = {"action": "start", "guests": [guests[0]["id"]], **given}
    answer = member.post("/proxmox/guests/actions", body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])


def test_a_class_of_guests_is_made_whole_or_not_at_all(house: House) -> None:
    tenant = house.make_tenant(quota={"guests": 12})
    teacher = house.make_member(tenant)
    spec = {"template_id": "debian-12", "memory": 16, "disk_gb": 1, "start": False}
    too_many = teacher.post("/proxmox/guests/batch", {"count": 13, "name": "student-{n}", "spec": spec})
    assert (too_many.status_code, too_many.get_json()["code"]) == (403, "quota.exceeded")
    assert teacher.get("/proxmox/cts").get_json()["data"] == []
    key = {"Idempotency_Key": uuid.uuid4().hex}
    body = {"count": 12, "name": "student-{n}", "spec": spec}
    first, again = (teacher.post("/proxmox/guests/batch", body, wait=60, **key) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    made = first.get_json()
    assert {one["state"] for one in made["data"]} == {"succeeded"}
    assert [one["id"] for one in again.get_json()["data"]] == [one["id"] for one in made["data"]]
    assert "passwords" not in again.get_json()
    assert len(set(made["passwords"].values())) == 12
    rows = teacher.get("/proxmox/cts").get_json()["data"]
    assert {row["id"] for row in rows} == set(made["passwords"])
    assert sorted(row["name"] for row in rows) == [f"student-{n:02}" for n in range(1, 13)]


@pytest.mark.parametrize("name", ["student", "student-{n}-{n}", "-{n}", "a b {n}", "{n}" * 3])
def test_names_that_are_none(member: Caller, name: str) -> None:
    body = {"count": 2, "name": name, "spec": {"template_id": "debian-12"}}
    answer = member.post("/proxmox/guests/batch", body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["name"])
