"""Guests switched on and off under locks and asleep, and copies that PVE does not make."""

from typing import Any

import pytest

from tests.lab.guests.api import ISO, Api

LOCKED = "VM is locked (backup)"


@pytest.fixture
def running(root: Api) -> Api:
    root.machine(100, scsi0="local-lvm:1")
    root.task("POST", "/nodes/n1/qemu/100/status/start")
    return root


def test_a_lock_holds_a_running_machine(running: Api) -> None:
    at = "/nodes/n1/qemu/100"
    running.do("PUT", f"{at}/config", lock="backup")
    for action in ("stop", "shutdown", "reboot", "reset"):
        assert running.task("POST", f"{at}/status/{action}") == LOCKED
    assert running.task("POST", f"{at}/status/suspend") == "OK"
    assert running.task("POST", f"{at}/status/resume") == "OK"
    assert running.task("POST", f"{at}/status/reset", skiplock=1) == "OK"
    assert running.task("POST", f"{at}/status/stop", skiplock=1) == "OK"
    assert running.task("POST", f"{at}/status/stop") == "OK"


def test_a_paused_machine_hears_no_shutdown(running: Api) -> None:
    at = "/nodes/n1/qemu/100/status"
    running.task("POST", f"{at}/suspend")
    for action in ("shutdown", "reboot"):
        assert running.ask("POST", f"{at}/{action}").reason == "VM is paused - cannot shutdown"
    assert running.task("POST", f"{at}/shutdown", forceStop=1) == "OK"
    assert running.get(f"{at}/current")["status"] == "stopped"


def test_a_sleep_on_disk_needs_the_disk(running: Api) -> None:
    tenant = running.tenant("red")
    running.do("PUT", "/access/acl", path="/vms/100", users="red@pve", roles="PVEVMUser")
    running.do("PUT", "/access/acl", path="/vms/100", tokens="red@pve!ph", roles="PVEVMUser")
    answer = tenant.ask("POST", "/nodes/n1/qemu/100/status/suspend", todisk=1)
    assert answer.reason == "Permission check failed (/vms/100, VM.Config.Disk)"
    for option in ({"skiplock": 1}, {"keepActive": 1}):
        answer = tenant.ask("POST", "/nodes/n1/qemu/100/status/stop", **option)
        assert answer.errors == dict.fromkeys(option, "Only root may use this option.")


def test_containers_are_not_frozen(root: Api) -> None:
    root.container(200)
    at = "/nodes/n1/lxc/200/status"
    assert root.ask("POST", f"{at}/suspend").reason == "CT 200 not running"
    assert root.task("POST", f"{at}/resume").startswith("command 'lxc-checkpoint -n 200 -r ")
    root.task("POST", f"{at}/start")
    assert root.ask("POST", f"{at}/resume").reason == "CT 200 already running"
    assert root.task("POST", f"{at}/suspend").startswith("command 'lxc-checkpoint -n 200 -s ")
    root.do("PUT", "/nodes/n1/lxc/200/config", lock="backup")
    for action in ("suspend", "stop", "shutdown"):
        assert root.task("POST", f"{at}/{action}") == "CT is locked (backup)"


def test_what_has_no_size(root: Api) -> None:
    root.machine(100, ide0="none,media=cdrom", ide2=f"{ISO},media=cdrom")
    for disk, end in (("ide0", "unable to parse volume ID 'none'"), ("ide2", "you can't resize a cdrom")):
        assert root.task("PUT", "/nodes/n1/qemu/100/resize", disk=disk, size="+1G") == end


@pytest.mark.parametrize(
    ("kind", "params", "wanted"),
    [
        ("qemu", {"storage": "local"}, {"storage": "storage 'local' does not support vm images"}),
        ("qemu", {"storage": "nope", "target": "n9"}, "no such cluster node 'n9'"),
        ("qemu", {"storage": "local-lvm", "target": "n2"}, "can't clone to non-shared storage 'local-lvm'"),
        ("qemu", {"target": "n2"}, "can't clone VM to node 'n2' (VM uses local storage)"),
        ("qemu", {"full": 0}, "Linked clone feature is not supported for 'local-lvm:vm-100-disk-0' (scsi0)"),
        ("lxc", {"storage": "local-lvm", "target": "n2"}, "can't clone to non-shared storage 'local-lvm'"),
        ("lxc", {"newid": 100}, "CT is locked (backup)"),
        ("lxc", {"storage": "local-lvm", "full": 0, "snapname": "no"}, "CT is locked (backup)"),
    ],
)
def test_copies_that_are_not_made(running: Api, kind: str, params: dict[str, Any], wanted: Any) -> None:
    vmid = 100 if kind == "qemu" else 200
    if kind == "lxc":
        running.container(200)
        running.do("PUT", "/nodes/n1/lxc/200/config", lock="backup")
    answer = running.ask("POST", f"/nodes/n1/{kind}/{vmid}/clone", **({"newid": 300} | params))
    assert (answer.errors or answer.reason) == wanted
