"""proxcli on the lab: lists, the life of a VM, access, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.lab.clients.environments import Environment, python_environment
from tests.lab.process import LabProcess, Session

pytestmark = pytest.mark.matrix

Proxcli = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment() -> Environment:
    return python_environment(Path(__file__).parent)


@pytest.fixture
def proxcli(environment: Environment, demo: LabProcess, tmp_path: Path) -> Proxcli:
    """Runs it with root's password; it checks the lab's certificate."""

    def run(*arguments: str) -> CompletedProcess[str]:
        login = ("--url", demo.url, "--username", "root@pam", "--password", demo.password)
        variables = {"SSL_CERT_FILE": str(demo.ca_file), "HOME": str(tmp_path), "NO_COLOR": "1"}
        return environment.run("proxcli", *login, *arguments, variables=variables)

    return run


def _data(done: CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_lists(proxcli: Proxcli) -> None:
    assert {row["node"]: row["maxcpu"] for row in _data(proxcli("node", "list"))} == {"n1": 2, "n2": 2}
    assert sorted(row["vmid"] for row in _data(proxcli("vm", "list"))) == [1000, 1002, 1004, 1006, 9000]
    stopped = {row["vmid"] for row in _data(proxcli("container", "list")) if row["status"] == "stopped"}
    assert stopped == {1003, 1007}
    assert {row["storage"] for row in _data(proxcli("storage", "list"))} == {"local", "local-lvm"}
    assert _data(proxcli("pool", "list")) == [{"poolid": "catalog", "comment": "Templates for all tenants"}]
    assert {row["dev"] for row in _data(proxcli("node", "netstat", "n1"))} == {"net0"}


def test_the_life_of_a_vm(proxcli: Proxcli, admin: Session) -> None:
    config = ("--memory", "1024", "--cores", "2", "--net", "virtio,bridge=vmbr0", "--storage", "local-lvm")
    done = proxcli("vm", "create", "--node", "n1", "--vmid", "300", "--name", "cli", "--disk", "4", *config)
    assert done.returncode == 0, done.stdout + done.stderr
    made = admin.ok("GET", "/nodes/n1/qemu/300/config")
    assert (made["name"], made["memory"], made["cores"]) == ("cli", "1024", 2)
    for action, status in (("start", "running"), ("stop", "stopped")):
        done = proxcli("vm", action, "300")
        assert done.returncode == 0, done.stdout + done.stderr
        assert admin.ok("GET", "/nodes/n1/qemu/300/status/current")["status"] == status
    assert proxcli("vm", "delete", "300").returncode == 0
    assert admin.refused("GET", "/nodes/n1/qemu/300/config")[0] == 500


def test_access(proxcli: Proxcli, admin: Session) -> None:
    admin.ok("POST", "/access/users", userid="ann@pve")
    done = proxcli("acl", "add", "/pool/catalog", "--roles", "PVEAuditor", "--users", "ann@pve", "--no-propagate")
    assert done.returncode == 0, done.stdout + done.stderr
    (entry,) = admin.ok("GET", "/access/acl")
    assert (entry["path"], entry["ugid"], entry["roleid"]) == ("/pool/catalog", "ann@pve", "PVEAuditor")
    assert entry["propagate"] == 0
    assert {row["userid"] for row in _data(proxcli("user", "list"))} == {"ann@pve", "root@pam"}


def test_an_error_is_asked_for_again_and_then_told(proxcli: Proxcli) -> None:
    done = proxcli("vm", "ip", "1000")
    assert done.returncode != 0
    assert "No QEMU guest agent configured" in done.stdout + done.stderr
