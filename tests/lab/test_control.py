"""The control port, faults, the clock, locks, and what is kept over a restart."""

from __future__ import annotations

import concurrent.futures
import time
from pathlib import Path

import pytest
import requests

from tests.lab.process import LabProcess, Session, running

TEMPLATE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"


def make_container(session: Session, vmid: int, **options: object) -> str:
    """The UPID of a new container."""
    return str(session.ok("POST", "/nodes/n1/lxc", vmid=vmid, ostemplate=TEMPLATE, storage="local-lvm", **options))


def test_calls_are_logged_with_their_callers(lab: LabProcess, root: Session) -> None:
    secret = root.ok("POST", "/access/users/root@pam/token/t1", privsep=0)["value"]
    lab.token("root@pam!t1", secret).ok("GET", "/nodes")
    lab.anonymous().refused("GET", "/nodes/n1/status")
    seen = [(row["method"], row["path"], row["user"], row["status"]) for row in lab.calls()]
    assert seen == [
        ("POST", "/access/ticket", "", 200),
        ("POST", "/access/users/root@pam/token/t1", "root@pam", 200),
        ("GET", "/nodes", "root@pam!t1", 200),
        ("GET", "/nodes/n1/status", "", 401),
    ]
    assert [row["n"] for row in lab.calls(since=lab.calls()[1]["n"])] == [row["n"] for row in lab.calls()[2:]]
    lab.control("DELETE", "calls")
    assert lab.calls() == []


def test_reset_goes_back_to_the_start(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/pools", poolid="a")
    lab.fault(kind="refuse", path="^/pools")
    lab.reset()
    assert lab.login().ok("GET", "/pools") == []
    assert lab.control("GET", "faults") == []


def test_state_goes_out_and_in_unchanged(lab: LabProcess, root: Session) -> None:
    assert root.wait(make_container(root, 200, description="one")) == "OK"
    root.ok("POST", "/pools", poolid="a")
    before = lab.control("GET", "state")
    root.ok("DELETE", "/pools", poolid="a")
    lab.control("PUT", "state", before)
    assert lab.control("GET", "state") == before
    assert root.ok("GET", "/nodes/n1/lxc/200/config")["description"] == "one\n"


@pytest.mark.parametrize("body", [{"nonsense": 1}, {"cluster": 5}, [1]])
def test_a_state_that_is_none_is_refused(lab: LabProcess, body: object) -> None:
    answer = requests.put(f"{lab.control_url}/state", json=body, timeout=5)
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_a_refusal_on_demand_counts_down(lab: LabProcess, root: Session) -> None:
    lab.fault(kind="refuse", method="POST", path="^/pools", status=503, text="no way", skip=1, count=1)
    root.ok("POST", "/pools", poolid="a")
    assert root.refused("POST", "/pools", poolid="b") == (503, "no way")
    root.ok("POST", "/pools", poolid="b")


def test_chance_is_repeatable_by_its_seed(lab: LabProcess, root: Session) -> None:
    def pattern() -> list[int]:
        rule = lab.fault(kind="refuse", path="^/version", probability=0.5, seed=7)
        found = [root.call("GET", "/version").status_code for _ in range(20)]
        rule.remove()
        return found

    first = pattern()
    assert first == pattern()
    assert set(first) == {200, 500}


def test_a_lost_reply_has_done_its_work(lab: LabProcess, root: Session) -> None:
    lab.fault(kind="lost_reply", method="POST", path="^/pools", count=1)
    with pytest.raises(requests.ConnectionError):
        root.call("POST", "/pools", poolid="a")
    assert root.ok("GET", "/pools") == [{"poolid": "a"}]


def test_a_closed_connection_has_not(lab: LabProcess, root: Session) -> None:
    lab.fault(kind="close", method="POST", path="^/pools", count=1)
    with pytest.raises(requests.ConnectionError):
        root.call("POST", "/pools", poolid="a")
    assert root.ok("GET", "/pools") == []


def test_a_node_away_answers_595_with_nothing(lab: LabProcess, root: Session) -> None:
    lab.fault(kind="unreachable", path="^/nodes/n2/", count=1)
    answer = root.call("GET", "/nodes/n2/qemu")
    assert (answer.status_code, answer.content) == (595, b"")
    assert answer.reason.startswith("Errors during connection establishment")


def test_a_held_lock_fails_after_pves_ten_seconds(lab: LabProcess, root: Session) -> None:
    rule = lab.fault(kind="lock", lock="user.cfg")
    text = "create pool failed: cfs-lock 'file-user_cfg' error: got lock request timeout"
    assert root.refused("POST", "/pools", poolid="a") == (500, text)
    rule.remove()
    root.ok("POST", "/pools", poolid="a")


def test_who_waits_for_a_lock_gets_it_once_it_is_let_go(lab: LabProcess, root: Session) -> None:
    lab.control("PUT", "clock", {"time_scale": 1})
    rule = lab.fault(kind="lock", lock="user.cfg", count=1)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(root.call, "POST", "/pools", poolid="a")
        time.sleep(0.3)
        assert not waiting.done()
        rule.remove()
        lab.control("PUT", "clock", {"advance": 0})
        assert waiting.result(5).status_code == 200


def test_a_guest_that_cannot_join_its_pool_is_left_outside(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/pools", poolid="a")
    lab.fault(kind="pool_join_fails", count=1)
    upid = make_container(root, 200, pool="a")
    text = "can't add VM 200 to pool 'a': cfs-lock 'file-user_cfg' error: got lock request timeout"
    assert root.wait(upid) == text
    assert root.ok("GET", "/pools/a")["members"] == []
    assert root.ok("GET", "/nodes/n1/lxc/200/config")["hostname"] == "CT200"


@pytest.mark.parametrize("at", [0, 50, 100])
def test_a_task_fails_where_it_is_told_to(lab: LabProcess, root: Session, at: int) -> None:
    lab.fault(kind="task_fails", task="^vzstart:200$", at=at, text="no more power", count=1)
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.task("POST", "/nodes/n1/lxc/200/status/start") == "no more power"
    running_now = root.ok("GET", "/nodes/n1/lxc/200/status/current")["status"] == "running"
    assert running_now is (at == 100)


def test_a_task_may_say_ok_and_have_made_nothing(lab: LabProcess, root: Session) -> None:
    lab.fault(kind="guest_absent", task="vzcreate", count=1)
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.ok("GET", "/nodes/n1/lxc") == []
    assert root.ok("GET", "/nodes/n1/storage/local-lvm/content") == []


@pytest.mark.parametrize("rule", [{"kind": "?"}, {"kind": "refuse", "colour": 1}, {"kind": "close", "path": "("}])
def test_a_rule_that_makes_no_sense_is_refused(lab: LabProcess, rule: dict[str, object]) -> None:
    assert requests.post(f"{lab.control_url}/faults", json=rule, timeout=5).status_code == 400


def test_time_can_be_moved_on(lab: LabProcess, root: Session) -> None:
    """A task sleeps on the lab's clock, and so does the age of a ticket."""
    lab.control("PUT", "clock", {"time_scale": 1})
    upid = make_container(root, 200)
    assert root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["status"] == "running"
    lab.control("PUT", "clock", {"advance": 60})
    assert root.wait(upid, 5) == "OK"
    lab.control("PUT", "clock", {"advance": 7200, "time_scale": 0})
    assert root.refused("GET", "/version") == (401, "Authentication failed!")


def test_a_running_task_can_be_stopped(lab: LabProcess, root: Session) -> None:
    lab.control("PUT", "clock", {"time_scale": 1})
    upid = make_container(root, 200)
    time.sleep(0.1)
    root.ok("DELETE", f"/nodes/n1/tasks/{upid}")
    assert "received interrupt" in root.wait(upid, 5)
    assert root.ok("GET", "/nodes/n1/lxc") == []


def test_what_is_kept_is_there_after_a_kill(tmp_path: Path) -> None:
    """Tickets too stay good; a task that ran when the lab died has no status."""
    keep = tmp_path / "lab.json"
    with running(keep=keep, cert_dir=tmp_path) as lab:
        session = lab.login()
        session.ok("POST", "/pools", poolid="a")
        lab.control("PUT", "clock", {"time_scale": 1})
        upid = make_container(session, 200)
        time.sleep(1.2)
        lab.process.kill()
    with running(keep=keep, cert_dir=tmp_path) as again:
        session.http.headers.pop("Connection", None)
        moved = Session(again)
        moved.http.headers.update(session.http.headers)
        assert moved.ok("GET", "/pools") == [{"poolid": "a"}]
        assert moved.ok("GET", f"/nodes/n1/tasks/{upid}/status")["exitstatus"] == "unexpected status"
        assert moved.ok("GET", "/nodes/n1/lxc/200/config")["lock"] == "create"


def test_what_changed_last_is_kept_at_the_end(tmp_path: Path) -> None:
    keep = tmp_path / "lab.json"
    with running(keep=keep) as lab:
        lab.login().ok("POST", "/pools", poolid="late")
    with running(keep=keep) as again:
        assert again.login().ok("GET", "/pools") == [{"poolid": "late"}]


def test_the_demo_has_a_template_that_can_be_cloned() -> None:
    with running("demo") as lab:
        root = lab.login()
        assert root.task("POST", "/nodes/n1/qemu/9000/clone", newid=9001, name="first") == "OK"
        assert root.task("POST", "/nodes/n1/qemu/9001/status/start") == "OK"
        interfaces = root.ok("GET", "/nodes/n1/qemu/9001/agent/network-get-interfaces")["result"]
        assert [found["name"] for found in interfaces] == ["lo", "eth0"]


def test_guests_are_added_over_the_nodes() -> None:
    with running(guests=40) as lab:
        rows = lab.login().ok("GET", "/cluster/resources", type="vm")
        kinds = {(row["type"], row["node"]) for row in rows}
        assert len(rows) == 40
        assert kinds == {("qemu", "n1"), ("qemu", "n2"), ("lxc", "n1"), ("lxc", "n2")}
        assert {row["status"] for row in rows} == {"running", "stopped"}
