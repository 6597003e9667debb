"""The state: what a fresh lab has, that it can be saved and restored exactly, and time that stands still."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from app.lab.schema import Schema
from app.lab.testing import LabError
from tests.lab.history import History
from tests.lab.process import LabProcess, Session, running
from tests.lab.test_control import make_container

FRESH = Path(__file__).parent / "fresh-state.json"
START = 1_800_000_000


def text_of(lab: LabProcess) -> bytes:
    return requests.get(f"{lab.control_url}/state", timeout=30).content


def test_a_fresh_lab_is_what_was_measured(lab: LabProcess, root: Session) -> None:
    wanted = json.loads(FRESH.read_text())
    assert root.ok("GET", "/version").items() >= wanted["version"].items()
    cluster, *nodes = root.ok("GET", "/cluster/status")
    assert cluster.items() >= wanted["cluster"].items()
    for node, measured in zip(nodes, wanted["nodes"], strict=True):
        assert node["local"] == ("local" in measured)
        assert all(node[name] == measured[name] for name in ("name", "nodeid", "ip", "level", "online"))
        assert root.ok("GET", f"/nodes/{node['name']}/status")["cpuinfo"]["cpus"] == measured["cpus"]
        bridges = {row["iface"] for row in root.ok("GET", f"/nodes/{node['name']}/network")}
        assert bridges == {"eth0", "vmbr0", "vmbr1"}
    (user,) = root.ok("GET", "/access/users")
    (measured,) = wanted["users"]
    assert all(user[name] == measured[name] for name in ("userid", "enable", "expire", "email"))
    realms = {row["realm"]: (row["type"], row["comment"]) for row in root.ok("GET", "/access/domains")}
    assert realms == {row["realm"]: (row["type"], row["comment"]) for row in wanted["realms"]}
    for storage in wanted["storages"]:
        found = root.ok("GET", f"/storage/{storage['storage']}")
        assert set(found["content"].split(",")) == set(storage["content"])
        assert all(found[name] == storage[name] for name in ("type", "path", "vgname", "thinpool") if name in storage)
        shown = root.ok("GET", f"/nodes/n2/storage/{storage['storage']}/status")
        assert (shown["shared"], shown["enabled"]) == (storage["shared"], storage["enabled"])
    for name, volumes in wanted["volumes"].items():
        rows = root.ok("GET", f"/nodes/{name}/storage/local/content")
        seen = [{key: row[key] for key in ("volid", "content", "format", "size")} for row in rows]
        assert sorted(seen, key=str) == sorted(volumes, key=str)
        assert root.ok("GET", f"/nodes/{name}/storage/local-lvm/content") == []
    assert root.ok("GET", "/cluster/options").items() >= wanted["datacenter_options"].items()
    assert all(row.get("special") for row in root.ok("GET", "/access/roles"))
    assert [row for row in root.ok("GET", "/cluster/resources") if row["type"] in ("qemu", "lxc", "pool")] == []
    for path in ("/access/groups", "/access/acl", "/pools", "/cluster/backup", "/cluster/tasks", "/nodes/n1/tasks"):
        assert root.ok("GET", path) == [], path
    for path in ("rules", "aliases", "ipset", "groups"):
        assert root.ok("GET", f"/cluster/firewall/{path}") == []


def everything(lab: LabProcess, root: Session) -> dict[str, tuple[int, str, str]]:
    """The answers to all GETs that the state gives names to."""
    state = lab.state()
    names: dict[str, list[str]] = {
        "node": list(state["nodes"]),
        "storage": list(state["storages"]),
        "userid": list(state["users"]),
        "groupid": list(state["groups"]),
        "roleid": [*state["roles"], "PVEAdmin"],
        "realm": list(state["realms"]),
        "poolid": list(state["pools"]),
        "tokenid": ["t1"],
        "snapname": ["one", "two"],
        "upid": list(state["tasks"])[-5:],
        "id": list(state["backup_jobs"]),
        "name": ["here", "many"],
        "group": ["web"],
        "pos": ["0"],
        "vmid": list(state["guests"]),
    }
    paths = [path for path, methods in Schema.load().paths.items() if "GET" in methods]
    found = {}
    for path in sorted(filled for template in paths for filled in fillings(template, names)):
        answer = root.call("GET", path, **({"timeframe": "hour"} if "rrd" in path else {}))
        found[path] = (answer.status_code, answer.reason, answer.text)
    return found


def fillings(template: str, names: dict[str, list[str]]) -> list[str]:
    """A template with every name that there is, but none of the wrong kind of guest."""
    wanted = re.search(r"\{(\w+)\}", template)
    if wanted is None:
        return [] if "websocket" in template else [template]
    values = names.get(wanted[1], [])
    if wanted[1] == "vmid":
        values = [value for value in values if int(value) % 2 == ("/lxc/" in template)]
    return [path for value in values for path in fillings(template.replace(wanted[0], value, 1), names)]


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_saved_is_restored_exactly(lab: LabProcess, root: Session, seed: int) -> None:
    history = History(lab, seed)
    history.happen(150)
    assert 60 < history.statuses.count(200) < 150
    lab.stop_time(START)
    lab.advance(60)
    root = lab.login()
    assert all(row["status"] != "running" for row in lab.state()["tasks"].values())
    before, answers = text_of(lab), everything(lab, root)
    assert len(answers) > 300
    lab.reset()
    lab.restore(json.loads(before)["data"])
    assert text_of(lab) == before
    assert everything(lab, root) == answers


def test_a_file_is_a_state_to_start_from(lab: LabProcess, tmp_path: Path) -> None:
    History(lab, 3).happen(60)
    saved = tmp_path / "state.json"
    saved.write_text(json.dumps(lab.state()))
    with running(saved) as other:
        assert other.state() == lab.state()


def test_a_restore_ends_what_runs(lab: LabProcess, root: Session) -> None:
    """The state has the guest half made; whoever made it is not there any more."""
    lab.stop_time()
    upid = make_container(root, 200)
    half = lab.state()
    lab.advance(60)
    assert root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["exitstatus"] == "OK"
    lab.restore(half)
    for _ in range(2):
        assert root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["exitstatus"] == "unexpected status"
        assert root.ok("GET", "/nodes/n1/lxc/200/config")["lock"] == "create"
        lab.advance(60)
    second = root.ok("POST", "/nodes/n1/qemu", vmid=100)
    lab.restore(lab.state())
    lab.advance(60)
    assert root.ok("GET", f"/nodes/n1/tasks/{second}/status")["exitstatus"] == "unexpected status"


def ends(lab: LabProcess) -> list[tuple[str, int, int]]:
    """A day of a cluster in steps: type, begin and end of all its tasks, in seconds since the start."""
    lab.reset()
    lab.stop_time(START)
    root = lab.login()
    for vmid in (200, 201, 202):
        make_container(root, vmid, start=1)
        lab.advance(1.5)
    lab.advance(30)
    root.ok("POST", "/nodes/n1/vzdump", all=1, storage="local")
    root.ok("POST", "/nodes/n1/lxc/202/status/stop")
    lab.advance(3600)
    rows = root.ok("GET", "/nodes/n1/tasks", limit=100)
    return [(row["type"], row["starttime"] - START, row["endtime"] - START) for row in rows]


def test_steps_of_time_drive_tasks_the_same_way_every_time(lab: LabProcess) -> None:
    first = ends(lab)
    assert {kind for kind, _, _ in first} == {"vzcreate", "vzstart", "vzdump", "vzstop"}
    assert all(0 <= begin <= end < 60 for _, begin, end in first)
    assert len({end for _, _, end in first}) > 3
    assert ends(lab) == first


def test_time_that_stands_does_not_move(lab: LabProcess, root: Session) -> None:
    lab.stop_time(START)
    root = lab.login()
    upid = make_container(root, 200)
    assert lab.now() == START
    assert root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["status"] == "running"
    assert root.ok("GET", "/nodes/n1/time")["time"] == START
    assert lab.anonymous().refused("GET", "/version") == (401, "No ticket")
    lab.run_time(scale=0)
    assert root.wait(upid, 5) == "OK"
    assert lab.now() >= START


def test_a_lock_is_waited_for_in_steps_too(lab: LabProcess, root: Session) -> None:
    lab.stop_time()
    with lab.fault("lock", lock="storage:local-lvm@n1"):
        upid = make_container(root, 200)
        lab.advance(9)
        assert root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["status"] == "running"
        lab.advance(2)
    assert "got timeout" in root.ok("GET", f"/nodes/n1/tasks/{upid}/status")["exitstatus"]


@pytest.mark.parametrize("wanted", [{"mode": "fast"}, {"advance": -1}, {"tempo": 2}, {"now": "noon"}])
def test_a_clock_that_makes_no_sense_is_refused(lab: LabProcess, wanted: dict[str, Any]) -> None:
    with pytest.raises(LabError):
        lab.control("PUT", "clock", wanted)


def test_a_cluster_may_have_32_nodes_and_10000_guests() -> None:
    with running(guests=10_000, nodes=32) as lab:
        root = lab.login()
        rows = root.ok("GET", "/cluster/resources", type="vm")
        assert len(rows) == 10_000
        assert len({row["node"] for row in rows}) == len(root.ok("GET", "/nodes")) == 32
        assert root.ok("GET", "/nodes/n32/status")["uptime"] > 0
        status = Path(f"/proc/{lab.process.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 300 * 1024  # type: ignore[index]


@pytest.mark.parametrize("nodes", [1, 33])
def test_a_cluster_of_other_sizes_is_none(nodes: int) -> None:
    with pytest.raises(LabError):
        LabProcess.start(nodes=nodes)
