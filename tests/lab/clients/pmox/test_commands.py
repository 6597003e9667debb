"""pmox on the lab, with a token: triage, power, snapshots, clones, and what it makes of failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clients.environments import Environment, python_environment
from tests.lab.process import LabProcess, Session

pytestmark = pytest.mark.matrix

Pmox = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="session")
def environment() -> Environment:
    return python_environment(Path(__file__).parent)


@pytest.fixture
def pmox(environment: Environment, demo: LabProcess, admin: Session, tmp_path: Path) -> Pmox:
    """Runs it with a token of root's; its exit status, and what it said as JSON."""
    secret = admin.ok("POST", "/access/users/root@pam/token/pmox", privsep=0)["value"]

    def run(*arguments: str) -> tuple[int, Any]:
        options = ("--json", "--host", "127.0.0.1", "--port", str(demo.port), "--token-id", "root@pam!pmox")
        variables = {
            **{"PROXMOX_TOKEN_SECRET": secret, "PROXMOX_VERIFY_SSL": "true", "HOME": str(tmp_path)},
            "REQUESTS_CA_BUNDLE": str(demo.ca_file),
        }
        done = environment.run("pmox", *options, "--verify-ssl", *arguments, variables=variables, folder=tmp_path)
        return done.returncode, json.loads(done.stdout)

    return run


def test_triage(pmox: Pmox) -> None:
    code, health = pmox("health")
    assert code == 0
    assert (health["quorate"], health["nodes_online"], health["nodes_total"]) == (True, 2, 2)
    assert health["guests"] == {"running": 6, "stopped": 2, "templates": 1}
    assert health["issues"] == []
    _, version = pmox("version")
    assert version["server"]["version"] == "9.1.8"


def test_a_guest_is_described_from_everything(pmox: Pmox) -> None:
    code, told = pmox("vm", "describe", "1000")
    assert code == 0
    assert (told["node"], told["kind"], told["status"]["status"]) == ("n1", "qemu", "running")
    assert told["config"]["scsi0"] == "local-lvm:vm-1000-disk-0,size=8G"


def test_power_waits_for_its_task_and_tells_its_failure(pmox: Pmox, admin: Session) -> None:
    assert pmox("vm", "stop", "1000", "--yes")[1]["error"] == "read_only"
    code, stopped = pmox("--dangerous", "--wait", "vm", "stop", "1000", "--yes")
    assert (code, stopped["task"]["exitstatus"], stopped["task"]["tokenid"]) == (0, "OK", "pmox")
    code, failed = pmox("--dangerous", "--wait", "vm", "start", "1002")
    assert code == 1
    assert failed["message"].endswith("failed: VM 1002 already running")
    assert admin.ok("GET", "/nodes/n1/qemu/1000/status/current")["status"] == "stopped"


def test_snapshots_and_clones(pmox: Pmox, admin: Session) -> None:
    assert pmox("--dangerous", "--wait", "vm", "snapshot", "create", "1000", "one")[0] == 0
    assert [row["name"] for row in pmox("vm", "snapshot", "list", "1000")[1]] == ["one", "current"]
    code, cloned = pmox("--dangerous", "--wait", "vm", "clone", "9000", "--newid", "300", "--name", "copy")
    assert (code, cloned["vmid"], cloned["task"]["type"]) == (0, 300, "qmclone")
    assert admin.ok("GET", "/nodes/n1/qemu/300/config")["name"] == "copy"


def test_a_clone_with_an_agent_tells_its_address(pmox: Pmox) -> None:
    pmox("--dangerous", "--wait", "vm", "clone", "9000", "--newid", "300", "--name", "copy")
    pmox("--dangerous", "--wait", "vm", "start", "300")
    code, found = pmox("vm", "ip", "300")
    assert code == 0, found
    outside = {address["scope"]: address["address"] for row in found["interfaces"] for address in row["addresses"]}
    assert outside["global"].startswith("10.")
