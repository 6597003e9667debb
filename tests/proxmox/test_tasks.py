"""PVE's tasks through HTTP: one's own, with their logs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_errors import assert_problem
from tests.house import Caller, House, container


@pytest.fixture(scope="module")
def guest(member: Caller) -> dict[str, Any]:
    found: dict[str, Any] = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    return found


@pytest.fixture(scope="module")
def upid(member: Caller, guest: dict[str, Any]) -> str:
    steps = member.get(f"/operations?guest={guest['id']}").get_json()["data"][0]["steps"]
    return next(step["upid"] for step in steps if step["upid"])


def test_one_s_own_task_is_shown_for_one_call(
    house: House, tenant: dict[str, Any], member: Caller, guest: dict[str, Any], upid: str
) -> None:
    mark = house.pve.mark()
    task = member.get(f"/proxmox/tasks/{upid}").get_json()
    (call,) = [call for call in house.pve.calls(mark) if call["user"].startswith(tenant["pve_user"])]
    assert call["path"].endswith("/status")
    assert (task["upid"], task["type"], task["subject"]) == (upid, "vzcreate", str(guest["vmid"]))
    assert (task["state"], task["exitstatus"], task["ok"]) == ("stopped", "OK", True)
    assert task["user"].startswith(f"{tenant['pve_user']}!")
    assert house.admin().get(f"/proxmox/tasks/{upid}").get_json() == task
    assert house.admin().get(f"/proxmox/tasks/{upid}?cluster=lab").get_json() == task


def test_a_log_is_read_line_by_line(house: House, tenant: dict[str, Any], member: Caller, upid: str) -> None:
    mark = house.pve.mark()
    whole = member.get(f"/proxmox/tasks/{upid}/log").get_json()
    assert len([call for call in house.pve.calls(mark) if call["user"].startswith(tenant["pve_user"])]) == 2
    assert [line["n"] for line in whole["data"]] == list(range(1, whole["count"] + 1))
    assert (whole["data"][-1]["text"], whole["next"]) == ("TASK OK", None)
    lines, cursor = [], None
    for _ in range(whole["count"]):
        more = f"&cursor={cursor}" if cursor else ""
        page = member.get(f"/proxmox/tasks/{upid}/log?limit=1{more}").get_json()
        lines += page["data"]
        cursor = page["next"]
    assert (lines, cursor) == (whole["data"], None)
    assert_problem(member.get(f"/proxmox/tasks/{upid}/log?cursor=-1"), 422, "validation.failed")


def test_others_tasks_and_those_that_never_were_look_the_same(house: House, member: Caller, upid: str) -> None:
    """L3, L17: PVE is not even asked."""
    neighbour = house.make_tenant()
    stranger = house.make_member(neighbour)
    foreign = stranger.done("POST", "/proxmox/cts", container())
    theirs = next(step["upid"] for step in foreign["steps"] if step["upid"])
    guest = foreign["result"]["guest"]
    of_root = house.pve.post(f"/nodes/{guest['node']}/lxc/{guest['vmid']}/status/start")
    for name in (theirs, of_root, upid.replace("@pve!", "x@pve!"), "UPID:n1", "x"):
        for path in (f"/proxmox/tasks/{name}", f"/proxmox/tasks/{name}/log"):
            mark = house.pve.mark()
            assert_problem(member.get(path), 404, "not_found")
            assert [call for call in house.pve.calls(mark) if "/tasks/" in call["path"] and name in call["path"]] == []
    assert house.admin().get(f"/proxmox/tasks/{of_root}").status_code == 200


def test_a_task_of_my_token_that_pve_does_not_know_is_not_found(member: Caller, upid: str) -> None:
    head, node, pid, *rest = upid.split(":")
    gone = ":".join([head, node, "0000AAAA" if pid != "0000AAAA" else "0000AAAB", rest[0], "60000000", *rest[2:]])
    elsewhere = ":".join([head, "n9", pid, *rest])
    for name in (gone, elsewhere):
        assert_problem(member.get(f"/proxmox/tasks/{name}"), 404, "not_found")
        assert_problem(member.get(f"/proxmox/tasks/{name}/log"), 404, "not_found")


def test_a_task_that_failed_says_why(house: House, tenant: dict[str, Any], member: Caller) -> None:
    with house.pve.fault(
        kind="task_fails", task="vzstart", user=tenant["pve_user"], text="startup for container failed"
    ):
        guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
        failed = member.post(f"/proxmox/cts/{guest['id']}/start", wait=60).get_json()
    task = member.get(f"/proxmox/tasks/{failed['upid']}").get_json()
    assert (task["state"], task["ok"], task["exitstatus"]) == ("stopped", False, "startup for container failed")
    log = member.get(f"/proxmox/tasks/{failed['upid']}/log").get_json()
    assert "startup for container failed" in log["data"][-1]["text"]
