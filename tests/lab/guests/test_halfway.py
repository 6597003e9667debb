"""A lab whose tasks take their time: what is seen of a guest before it is there, and of its network port."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.lab.guests.api import TEMPLATE, Api
from tests.lab.process import LabProcess


@pytest.fixture(scope="module")
def slow() -> Iterator[LabProcess]:
    lab = LabProcess.start(time_scale=0.2)
    yield lab
    lab.stop()


@pytest.fixture
def root(slow: LabProcess) -> Api:
    slow.reset()
    return Api.root(slow)


def test_until_it_is_made_it_is_only_its_lock(root: Api) -> None:
    blue = root.tenant("blue")
    params = {"vmid": 5001, "ostemplate": TEMPLATE, "rootfs": "local-lvm:1", "pool": "blue"}
    upid = blue.do("POST", "/nodes/n1/lxc", **params)
    half_made = root.get("/nodes/n1/lxc/5001/config")
    assert {key: value for key, value in half_made.items() if key != "digest"} == {"lock": "create"}
    assert blue.ask("GET", "/nodes/n1/lxc/5001/config").status == 403
    assert root.get("/pools/blue")["members"] == []
    (running,) = blue.get("/nodes/n1/tasks", vmid=5001, typefilter="vzcreate", source="all")
    assert (running["upid"], running["status"]) == (upid, "RUNNING")
    assert root.ask("DELETE", "/nodes/n1/lxc/5001").reason == "CT is locked (create)"
    assert blue.ended(upid) == "OK"
    assert blue.get("/nodes/n1/lxc/5001/config")["hostname"] == "CT5001"
    assert [member["vmid"] for member in root.get("/pools/blue")["members"]] == [5001]


def test_a_stopped_creation_leaves_nothing(root: Api) -> None:
    params = {"vmid": 5001, "ostemplate": TEMPLATE, "rootfs": "local-lvm:1"}
    upid = root.do("POST", "/nodes/n1/lxc", **params)
    root.do("DELETE", f"/nodes/n1/tasks/{upid}")
    assert root.ended(upid) != "OK"
    assert root.get("/nodes/n1/lxc") == []
    assert root.volumes() == set()


def test_a_guest_that_is_deaf_needs_force(root: Api, slow: LabProcess) -> None:
    root.container(200)
    root.task("POST", "/nodes/n1/lxc/200/status/start")
    state = slow.control("GET", "state")
    state["guests"]["200"]["deaf"] = True
    slow.control("PUT", "state", state)
    root = Api.root(slow)
    assert root.task("POST", "/nodes/n1/lxc/200/status/shutdown", timeout=1) != "OK"
    assert root.task("POST", "/nodes/n1/lxc/200/status/shutdown", timeout=1, forceStop=1) == "OK"


def _free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        return int(found.getsockname()[1])


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def test_a_port_opens_after_boot_and_closes_at_the_stop(root: Api, slow: LabProcess) -> None:
    root.container(200, net0="name=eth0,bridge=vmbr0")
    port = _free_port("127.77.0.2")
    state = slow.control("GET", "state")
    state["guests"]["200"] |= {"address": "127.77.0.2", "port": port}
    slow.control("PUT", "state", state)
    root = Api.root(slow)
    assert root.task("POST", "/nodes/n1/lxc/200/status/start") == "OK"
    told = [row["inet"] for row in root.get("/nodes/n1/lxc/200/interfaces") if row["name"] == "eth0"]
    assert told == ["127.77.0.2/8"]
    until = time.monotonic() + 10
    while not _answers("127.77.0.2", port):
        assert time.monotonic() < until
        time.sleep(0.05)
    root.task("POST", "/nodes/n1/lxc/200/status/stop")
    assert not _answers("127.77.0.2", port)
