"""A world that can go wrong: each kind of fault as a client meets it, and that the same calls are struck again."""

from __future__ import annotations

import concurrent.futures
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
import requests

from tests.lab.process import LabProcess, Session
from tests.lab.test_control import make_container


def raw(lab: LabProcess, root: Session, path: str = "/version") -> tuple[bytes, ConnectionError | None]:
    """Everything that comes of a GET until the connection ends, and how it ended.

    TLS is spoken outside the socket: Python's own TLS sockets do not tell a reset from an end.
    """
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    wire = ssl._create_unverified_context().wrap_bio(coming, going)
    asked = f"GET /api2/json{path} HTTP/1.1\r\nHost: lab\r\nCookie: {root.http.headers['Cookie']!s}\r\n\r\n".encode()
    found: list[bytes] = []

    def receive() -> None:
        found.append(wire.read(65536) or _nothing_more())

    steps: Iterator[Callable[[], Any]] = chain(
        [wire.do_handshake, lambda: wire.write(asked)],
        repeat(receive),
    )
    step = next(steps)
    with socket.create_connection(("127.0.0.1", lab.port), 10) as plain:
        try:
            while True:
                try:
                    step()
                    step = next(steps)
                except ssl.SSLWantReadError:
                    plain.sendall(going.read())
                    coming.write(plain.recv(65536) or _nothing_more())
        except ConnectionError as error:
            return b"".join(found), error
        except (EOFError, ssl.SSLZeroReturnError):
            return b"".join(found), None


def _nothing_more() -> bytes:
    raise EOFError


def test_half_an_answer_ends_in_the_middle_of_its_body(lab: LabProcess, root: Session) -> None:
    with lab.fault("half_answer", path="^/version", at=50):
        found, error = raw(lab, root)
        head, _, body = found.partition(b"\r\n\r\n")
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            root.call("GET", "/version")
    assert error is None
    assert head.startswith(b"HTTP/1.1 200 OK")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert body.startswith(b'{"data":')
    assert len(body) == length // 2


def test_a_reset_comes_before_the_work_or_in_the_middle_of_the_answer(lab: LabProcess, root: Session) -> None:
    with lab.fault("reset", method="POST", path="^/pools", at=0), pytest.raises(requests.RequestException):
        root.call("POST", "/pools", poolid="a")
    assert root.ok("GET", "/pools") == []
    with lab.fault("reset", method="POST", path="^/pools"), pytest.raises(requests.RequestException):
        root.call("POST", "/pools", poolid="a")
    assert root.ok("GET", "/pools") == [{"poolid": "a"}]
    for at in (0, 100):
        with lab.fault("reset", path="^/version", at=at):
            assert isinstance(raw(lab, root)[1], ConnectionResetError)


def test_a_call_that_is_delivered_twice_is_done_twice(lab: LabProcess, root: Session) -> None:
    with lab.fault("duplicate", method="POST", path="^/pools"):
        answer = root.refused("POST", "/pools", poolid="a")
    assert answer == (500, "create pool failed: pool 'a' already exists")
    with lab.fault("duplicate", method="POST", path="/lxc$"):
        assert root.refused("POST", "/nodes/n1/lxc", vmid=200, ostemplate="local:vztmpl/x.tar.zst", force=5)[0] == 400
    assert [row["status"] for row in lab.calls() if row["path"] == "/pools"] == [200, 500]


def test_an_upload_is_delivered_twice_too(lab: LabProcess, root: Session) -> None:
    with lab.fault("duplicate", path="/upload$"):
        url = f"{lab.url}/api2/json/nodes/n1/storage/local/upload"
        answer = root.http.post(url, data={"content": "iso"}, files={"filename": ("a.iso", b"x" * 700)})
    assert root.wait(answer.json()["data"]) == "OK"
    assert len([row for row in root.ok("GET", "/nodes/n1/tasks") if row["type"] == "imgcopy"]) == 2


def test_a_slow_node_is_slow_for_as_long_as_it_is_told(lab: LabProcess, root: Session) -> None:
    with lab.fault("delay", path="^/nodes/n2/", seconds=[0.2, 0.4]):
        waits = [root.call("GET", f"/nodes/{node}/qemu").elapsed.total_seconds() for node in ("n1", "n2", "n2")]
    assert waits[0] < 0.2 <= min(waits[1:])
    assert waits[1] != waits[2]
    assert [row["seconds"] >= 0.2 for row in lab.calls() if row["path"].endswith("/qemu")] == [False, True, True]


def test_a_slow_task_works_longer(lab: LabProcess, root: Session) -> None:
    lab.stop_time()
    with lab.fault("task_slow", task="^vzcreate:200$", seconds=100):
        slow, quick = make_container(root, 200), make_container(root, 201)
        lab.advance(99)
    states = [root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["status"] for upid in (slow, quick)]
    assert states == ["running", "stopped"]
    lab.advance(60)
    assert root.wait(slow, 1) == "OK"


@pytest.mark.parametrize("status", [595, 596])
def test_a_node_may_not_answer_in_two_ways(lab: LabProcess, root: Session, status: int) -> None:
    with lab.fault("unreachable", path="^/nodes/n2/", status=status, text="Connection timed out"):
        answer = root.call("GET", "/nodes/n2/lxc")
    assert (answer.status_code, answer.reason, answer.content) == (status, "Connection timed out", b"")


def test_an_expired_caller_is_told_so_once(lab: LabProcess, root: Session) -> None:
    secret = root.ok("POST", "/access/users/root@pam/token/t1", privsep=0)["value"]
    with lab.fault("expired", user="!t1$", count=1):
        root.ok("GET", "/version")
        token = lab.token("root@pam!t1", secret)
        assert token.refused("GET", "/version") == (401, "Authentication failed!")
        token.ok("GET", "/version")


def test_tickets_end_for_one_or_for_all(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/access/users", userid="a@pve", password="a-password")
    alice = lab.login("a@pve", "a-password")
    lab.expire_tickets("a@pve")
    root.ok("GET", "/version")
    assert alice.refused("GET", "/version") == (401, "Authentication failed!")
    lab.login("a@pve", "a-password").ok("GET", "/version")
    lab.expire_tickets()
    assert root.refused("GET", "/version") == (401, "Authentication failed!")
    lab.login().ok("GET", "/version")


def test_a_full_storage_takes_nothing_and_shows_it(lab: LabProcess, root: Session) -> None:
    full = (
        "lvcreate 'pve/{}' error:   Cannot create new thin volume, free space in thin pool pve/data reached threshold."
    )
    where = "/nodes/n1/storage/local-lvm"
    with lab.fault("storage_full", storage="^local-lvm@n1$"):
        name = "vm-100-disk-7"
        answer = root.refused("POST", f"{where}/content", vmid=100, filename=name, size="1G")
        assert answer == (500, full.format(name))
        failed = root.task("POST", "/nodes/n1/qemu", vmid=100, scsi0="local-lvm:1")
        assert failed == f"unable to create VM 100 - {full.format('vm-100-disk-0')}"
        assert root.wait(make_container(root, 200)) == f"unable to create CT 200 - {full.format('vm-200-disk-0')}"
        assert root.ok("GET", f"{where}/status")["avail"] == 0
        assert root.task("POST", "/nodes/n2/qemu", vmid=101, scsi0="local-lvm:1") == "OK"
    assert root.ok("GET", f"{where}/content") == []
    assert {row["vmid"] for row in root.ok("GET", "/cluster/resources", type="vm")} == {101}
    assert root.task("POST", "/nodes/n1/qemu", vmid=100, scsi0="local-lvm:1") == "OK"


def test_a_full_storage_takes_no_file_and_no_backup(lab: LabProcess, root: Session) -> None:
    assert root.wait(make_container(root, 200)) == "OK"
    with lab.fault("storage_full", storage="^local@"):
        url = f"{lab.url}/api2/json/nodes/n1/storage/local/upload"
        answer = root.http.post(url, data={"content": "iso"}, files={"filename": ("a.iso", b"x" * 700)})
        path = "/var/lib/vz/template/iso/a.iso"
        assert root.wait(answer.json()["data"]) == f"import failed: cp: error writing '{path}': No space left on device"
        assert root.task("POST", "/nodes/n1/vzdump", vmid=200, storage="local") == "job errors"
    assert len(root.ok("GET", "/nodes/n1/storage/local/content")) == 2


def test_clocks_differ(lab: LabProcess, root: Session) -> None:
    """Tasks of a node carry its own time; the API's `Date` and its tickets are of the node that answers."""
    now = lab.now()
    lab.skew("n2", 3600)
    upids = [root.ok("POST", f"/nodes/{node}/qemu", vmid=vmid) for node, vmid in (("n1", 100), ("n2", 101))]
    begun = [int(upid.split(":")[4], 16) - now for upid in upids]
    assert -2 < begun[0] < 60
    assert 3590 < begun[1] < 3660
    assert 3590 < root.ok("GET", "/nodes/n2/time")["time"] - root.ok("GET", "/nodes/n1/time")["time"] < 3610
    lab.skew("n1", -86_400 * 365)
    answer = root.call("GET", "/version")
    assert (answer.status_code, answer.reason) == (401, "Authentication failed!")
    shown = time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert -2 < shown - (now - 86_400 * 365) < 60
    lab.login().ok("GET", "/version")


def test_a_node_that_vanishes_takes_its_guests_and_tasks_with_it(lab: LabProcess, root: Session) -> None:
    assert root.task("POST", "/nodes/n2/qemu", vmid=100, onboot=1) == "OK"
    assert root.task("POST", "/nodes/n2/qemu/100/status/start") == "OK"
    lab.stop_time()
    lost = root.ok("POST", "/nodes/n2/qemu", vmid=101)
    lab.node("n2", online=False)
    assert root.refused("GET", "/nodes/n2/qemu")[0] == 595
    assert {row["node"]: row["status"] for row in root.ok("GET", "/nodes")} == {"n1": "online", "n2": "offline"}
    rows = {row["id"]: row for row in root.ok("GET", "/cluster/resources")}
    assert rows["qemu/100"] == {"id": "qemu/100", "type": "qemu", "vmid": 100, "node": "n2", "status": "unknown"}
    assert rows["storage/n2/local"]["status"] == "unknown"
    assert root.ok("GET", "/cluster/status")[0]["quorate"] == 0
    assert root.refused("POST", "/nodes/n1/qemu", vmid=102) == (500, "cluster not ready - no quorum?")
    lab.node("n2", online=True)
    assert root.ok("GET", "/nodes/n2/qemu/100/status/current")["status"] == "running"
    assert root.ok("GET", f"/nodes/n2/tasks/{lost}/status")["exitstatus"] == "unexpected status"
    assert root.ok("GET", "/cluster/status")[0]["quorate"] == 1


def test_a_node_whose_proxy_is_stopped_is_online_for_all_others(lab: LabProcess, root: Session) -> None:
    """facts.md section 13, first point."""
    assert root.task("POST", "/nodes/n2/qemu", vmid=100) == "OK"
    lab.node("n2", reachable=False)
    answer = root.call("GET", "/nodes/n2/qemu/100/config")
    reason = "Errors during connection establishment, proxy handshake: Connection refused"
    assert (answer.status_code, answer.reason, answer.content) == (595, reason, b"")
    assert {row["status"] for row in root.ok("GET", "/nodes")} == {"online"}
    assert [row["status"] for row in root.ok("GET", "/cluster/resources", type="vm")] == ["stopped"]
    assert root.ok("GET", "/cluster/status")[0]["quorate"] == 1
    lab.node("n2", reachable=True)
    root.ok("GET", "/nodes/n2/qemu/100/config")


@pytest.mark.parametrize("path", ["vncshell", "termproxy", "status", "storage/local/upload"])
def test_a_node_that_is_not_there_is_looked_up_in_vain(lab: LabProcess, root: Session, path: str) -> None:
    reason = "hostname lookup 'n9' failed - failed to get address info for: n9: Name or service not known"
    url = f"{lab.url}/api2/json/nodes/n9/{path}"
    if path == "status":
        answer = root.call("GET", "/nodes/n9/status")
    elif path.endswith("upload"):
        answer = root.http.post(url, data={"content": "iso"}, files={"filename": ("a.iso", b"x" * 700)})
    else:
        answer = root.call("POST", f"/nodes/n9/{path}")
    assert (answer.status_code, answer.reason) == (500, reason)


def test_without_quorum_reading_works_and_changing_does_not(lab: LabProcess, root: Session) -> None:
    """The table of facts.md section 13."""
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.task("POST", "/nodes/n1/qemu", vmid=100) == "OK"
    before = lab.state()
    lab.quorum(False)
    lab.login().ok("GET", "/cluster/resources")
    for path, params in (("/nodes/n1/qemu", {"vmid": 101}), ("/nodes/n1/lxc/200/status/start", {})):
        assert root.refused("POST", path, **params) == (500, "cluster not ready - no quorum?")
    for method, path, params, what in (
        ("POST", "/access/users", {"userid": "a@pve"}, "create user"),
        ("POST", "/pools", {"poolid": "a"}, "create pool"),
        ("PUT", "/access/acl", {"path": "/", "roles": "PVEAdmin", "users": "root@pam"}, "ACL update"),
    ):
        text = f"{what} failed: cfs-lock 'file-user_cfg' error: no quorum!"
        assert root.refused(method, path, **params) == (500, text)
    for guest in ("qemu/100", "lxc/200"):
        status, reason = root.refused("PUT", f"/nodes/n1/{guest}/config", description="x")
        assert status == 500
        assert reason.startswith("unable to open file '/etc/pve/nodes/n1/")
        assert reason.endswith(" - Permission denied")
        for exit_status in (
            root.task("POST", f"/nodes/n1/{guest}/snapshot", snapname="one"),
            root.task("DELETE", f"/nodes/n1/{guest}"),
        ):
            assert exit_status.startswith("unable to open file '/etc/pve/nodes/n1/")
            assert exit_status.endswith(" - Permission denied")
    lab.quorum(True)
    after = lab.state()
    for changing in ("tasks", "next_pid"):
        before.pop(changing), after.pop(changing)
    assert after == before


@pytest.mark.parametrize(
    ("method", "path", "params", "lock"),
    [
        ("PUT", "/cluster/options", {"console": "html5"}, "file-datacenter_cfg"),
        ("POST", "/cluster/backup", {"all": 1, "schedule": "sun 01:00", "storage": "local"}, "file-jobs_cfg"),
        ("DELETE", "/cluster/backup/nightly", {}, "file-jobs_cfg"),
        ("POST", "/cluster/firewall/rules", {"action": "ACCEPT", "type": "in"}, "firewall-cluster"),
        ("POST", "/cluster/firewall/aliases", {"name": "ab", "cidr": "10.0.0.1"}, "firewall-cluster"),
        ("POST", "/cluster/firewall/ipset", {"name": "ab"}, "firewall-cluster"),
        ("PUT", "/nodes/n1/firewall/options", {"enable": 0}, "firewall-host-n1"),
        ("PUT", "/nodes/n1/qemu/100/firewall/options", {"enable": 1}, "firewall-vm-100"),
        ("POST", "/nodes/n1/lxc/200/firewall/rules", {"action": "ACCEPT", "type": "in"}, "firewall-vm-200"),
        ("PUT", "/access/password", {"userid": "a@pve", "password": "another-one"}, "file-priv_shadow_cfg"),
        ("PUT", "/nodes/n1/config", {"description": "x"}, None),
        ("PUT", "/nodes/n1/qemu/100/cloudinit", {}, None),
        ("PUT", "/nodes/n1/qemu/100/snapshot/one/config", {"description": "x"}, None),
    ],
)
def test_nothing_below_etc_pve_changes_without_quorum(
    lab: LabProcess, root: Session, method: str, path: str, params: dict[str, Any], lock: str | None
) -> None:
    """Whatever the call: a lock of the cluster's, or a file that can not be written; reading goes on."""
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.task("POST", "/nodes/n1/qemu", vmid=100, scsi0="local-lvm:1") == "OK"
    assert root.task("POST", "/nodes/n1/qemu/100/snapshot", snapname="one") == "OK"
    root.ok("POST", "/access/users", userid="a@pve", password="a-password")
    root.ok("POST", "/cluster/backup", id="nightly", all=1, schedule="sun 01:00", storage="local")
    root.ok("GET", "/cluster/firewall/rules"), root.ok("GET", "/nodes/n1/firewall/options")
    root.ok("GET", "/nodes/n1/qemu/100/firewall/rules"), root.ok("GET", "/nodes/n1/lxc/200/firewall/rules")
    before = lab.state()
    lab.quorum(False)
    status, reason = root.refused(method, path, **params)
    assert status == 500
    if lock:
        assert reason == f"cfs-lock '{lock}' error: no quorum!"
    else:
        assert reason.startswith("unable to open file '/etc/pve/nodes/n1/")
        assert reason.endswith(" - Permission denied")
    lab.quorum(True)
    assert lab.state() == before
    root.ok(method, path, **params)


def test_without_quorum_no_guest_starts_moves_or_is_saved(lab: LabProcess, root: Session) -> None:
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.task("POST", "/nodes/n1/qemu", vmid=100, scsi0="local-lvm:1", scsi1="local-lvm:1") == "OK"
    root.ok("PUT", "/storage/local", content="images,iso,vztmpl,backup")
    before = lab.state()
    lab.quorum(False)
    for guest in ("qemu/100", "lxc/200"):
        for path in ("status/start", "migrate"):
            target = {"target": "n2"} if path == "migrate" else {}
            answer = root.refused("POST", f"/nodes/n1/{guest}/{path}", **target)
            assert answer == (500, "cluster not ready - no quorum?")
    assert root.refused("POST", "/nodes/n1/migrateall", target="n2") == (500, "cluster not ready - no quorum?")
    assert root.task("POST", "/nodes/n1/vzdump", vmid="100,200") == "job errors"
    moved = root.task("POST", "/nodes/n1/qemu/100/move_disk", disk="scsi1", storage="local", format="raw")
    assert moved.endswith(" - Permission denied")
    lab.quorum(True)
    after = lab.state()
    for changing in ("tasks", "next_pid"):
        before.pop(changing), after.pop(changing)
    assert after == before


def test_nothing_migrates_to_a_node_without_power(lab: LabProcess, root: Session) -> None:
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.task("POST", "/nodes/n1/qemu", vmid=100) == "OK"
    lab.node("n2", online=False)
    lab.quorum(True)
    for guest in ("qemu/100", "lxc/200"):
        assert root.task("POST", f"/nodes/n1/{guest}/migrate", target="n2") == "migration aborted"
        root.ok("GET", f"/nodes/n1/{guest}/config")
    lab.node("n2", online=True)
    lab.node("n2", reachable=False)
    assert root.task("POST", "/nodes/n1/qemu/100/migrate", target="n2") == "OK"


def test_a_held_storage_takes_and_gives_no_volume(lab: LabProcess, root: Session) -> None:
    """On every node where the rule names none."""
    where, text = "content", "can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout"
    for node, lock in (("n1", "storage:local-lvm@n1"), ("n2", "storage:local-lvm")):
        where = f"/nodes/{node}/storage/local-lvm/content"
        volid = root.ok("POST", where, vmid=100, filename="vm-100-disk-0", size="1G")
        with lab.fault("lock", lock=lock):
            assert root.refused("POST", where, vmid=100, filename="vm-100-disk-1", size="1G") == (500, text)
            assert root.task("DELETE", f"{where}/{volid}") == text
        assert [row["volid"] for row in root.ok("GET", where)] == [volid]
        assert root.task("DELETE", f"{where}/{volid}") == "OK"


def test_a_held_guest_is_not_cloned(lab: LabProcess, root: Session) -> None:
    assert root.wait(make_container(root, 200)) == "OK"
    assert root.task("POST", "/nodes/n1/qemu", vmid=100) == "OK"
    with lab.fault("lock", lock="guest:100"):
        text = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
        assert root.task("POST", "/nodes/n1/qemu/100/clone", newid=101) == text
    with lab.fault("lock", lock="guest:200"):
        text = "can't lock file '/run/lock/lxc/pve-config-200.lock' - got timeout"
        assert root.refused("POST", "/nodes/n1/lxc/200/clone", newid=201) == (500, text)
    assert {row["vmid"] for row in root.ok("GET", "/cluster/resources", type="vm")} == {100, 200}


def test_a_container_is_cloned_once_at_a_time(lab: LabProcess, root: Session) -> None:
    assert root.wait(make_container(root, 200)) == "OK"
    lab.stop_time()
    first = root.ok("POST", "/nodes/n1/lxc/200/clone", newid=201)
    assert root.refused("POST", "/nodes/n1/lxc/200/clone", newid=202) == (500, "CT is locked (disk)")
    lab.advance(10)
    assert root.wait(first, 5) == "OK"
    assert "lock" not in root.ok("GET", "/nodes/n1/lxc/201/config")
    with lab.fault("task_fails", task="^vzclone:200$"):
        failing = root.ok("POST", "/nodes/n1/lxc/200/clone", newid=202)
        lab.advance(10)
    assert root.wait(failing, 5) == "clone failed: fault injected by the lab"
    second = root.ok("POST", "/nodes/n1/lxc/200/clone", newid=202)
    lab.advance(10)
    assert root.wait(second, 5) == "OK"


def test_a_move_that_fails_leaves_nothing_where_the_disk_was_to_go(lab: LabProcess, root: Session) -> None:
    assert root.task("POST", "/nodes/n1/qemu", vmid=100, scsi0="local-lvm:1") == "OK"
    assert root.wait(make_container(root, 200)) == "OK"
    root.ok("PUT", "/storage/local", content="images,rootdir,iso,vztmpl,backup")
    before = lab.state()["volumes"]
    with lab.fault("task_fails", task="^(qmmove|move_volume):"):
        asked = {"storage": "local", "delete": 1}
        assert root.task("POST", "/nodes/n1/qemu/100/move_disk", disk="scsi0", **asked) != "OK"
        assert root.task("POST", "/nodes/n1/lxc/200/move_volume", volume="rootfs", **asked) != "OK"
    assert lab.state()["volumes"] == before


def test_a_vm_that_is_off_is_cloned_several_times_at_once_and_one_that_runs_is_not(
    lab: LabProcess, root: Session
) -> None:
    assert root.task("POST", "/nodes/n1/qemu", vmid=100, scsi0="local-lvm:1") == "OK"
    lab.stop_time()
    off = [root.ok("POST", "/nodes/n1/qemu/100/clone", newid=101 + n) for n in range(3)]
    destroying = root.ok("DELETE", "/nodes/n1/qemu/100")
    lab.advance(6)
    assert [root.wait(upid, 5) for upid in off] == ["OK"] * 3
    lab.advance(20)
    assert root.wait(destroying, 5) == "OK"
    running = root.ok("POST", "/nodes/n1/qemu/101/status/start")
    lab.advance(3)
    assert root.wait(running, 5) == "OK"
    busy = [root.ok("POST", "/nodes/n1/qemu/101/clone", newid=111 + n) for n in range(2)]
    lab.advance(3)
    lab.advance(3)
    ends = sorted(root.wait(upid, 5) for upid in busy)
    assert ends == ["OK", "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout"]


def test_the_same_calls_are_struck_again_whatever_comes_in_between(lab: LabProcess, root: Session) -> None:
    for name in (names := [f"p{n}" for n in range(40)]):
        root.ok("POST", "/pools", poolid=name)
    rule: dict[str, Any] = {"kind": "refuse", "path": "^/pools/p", "status": 503, "probability": 0.4, "seed": 11}

    def pattern(order: list[str], callers: int) -> set[str]:
        lab.replay([rule])
        sessions = [lab.login() for _ in range(callers)]
        with concurrent.futures.ThreadPoolExecutor(callers) as pool:
            calls = pool.map(lambda n: sessions[n % callers].call("GET", f"/pools/{order[n]}"), range(len(order)))
            return {order[n] for n, answer in enumerate(calls) if answer.status_code == 503}

    first = pattern(names, 1)
    assert 5 < len(first) < 35
    assert pattern(list(reversed(names)), 4) == first
    assert lab.faults()[0]["struck"] == len(first)
    rule["seed"] = 12
    assert pattern(names, 1) != first


def test_rules_that_were_shown_can_be_set_again(lab: LabProcess, root: Session) -> None:
    lab.fault("refuse", path="^/version", status=503, count=1)
    shown = lab.faults()
    assert root.refused("GET", "/version")[0] == 503
    root.ok("GET", "/version")
    lab.replay(shown)
    assert root.refused("GET", "/version")[0] == 503


def test_faults_may_meet_one_user_or_one_token_alone(lab: LabProcess, root: Session) -> None:
    secret = root.ok("POST", "/access/users/root@pam/token/t1", privsep=0)["value"]
    token = lab.token("root@pam!t1", secret)
    with lab.fault("task_fails", user="!t1$", task="qmcreate", text="no power"):
        assert root.wait(token.ok("POST", "/nodes/n1/qemu", vmid=100)) == "unable to create VM 100 - no power"
        assert root.task("POST", "/nodes/n1/qemu", vmid=100) == "OK"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"kind": "delay", "seconds": [1]}, "seconds"),
        ({"kind": "delay", "seconds": -1}, "seconds"),
        ({"kind": "refuse", "path": 5}, "path"),
        ({"kind": "refuse", "count": "x"}, "count"),
        ({"kind": "refuse", "count": -1}, "count"),
        ({"kind": "refuse", "count": 0}, "count"),
        ({"kind": "refuse", "probability": 2}, "probability"),
        ({"kind": "refuse", "probability": 0}, "probability"),
        ({"kind": "refuse", "skip": -1}, "skip"),
        ({"kind": "reset", "at": 101}, "at"),
        ({"kind": "storage_full", "storage": "("}, "storage"),
        ({"kind": "lock"}, "lock"),
        ({"kind": "lock", "lock": "bogus"}, "lock"),
        ({"kind": "lock", "lock": "guest:n1"}, "lock"),
    ],
)
def test_a_rule_that_never_strikes_is_refused(lab: LabProcess, rule: dict[str, object], wanted: str) -> None:
    answer = requests.post(f"{lab.control_url}/faults", json=rule, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(wanted)


def test_the_log_tells_who_sent_what_how_long_it_took(lab: LabProcess, root: Session) -> None:
    root.call("POST", "/pools", poolid="a", comment="c")
    root.call("GET", "/pools", poolid="a")
    rows = lab.calls()[1:]
    assert [row["parameters"] for row in rows] == [["comment", "poolid"], ["poolid"]]
    assert all(0 < row["seconds"] < 10 for row in rows)
