"""What pvecontrol shows of the lab and does to it. (It cannot show an empty list: it dies of an IndexError.)"""

from __future__ import annotations

import pytest

from tests.lab.clients.pvecontrol.conftest import Pvecontrol
from tests.lab.process import Session

_GIB = 1 << 30


def test_status(pvecontrol: Pvecontrol, admin: Session) -> None:
    (status,) = pvecontrol.rows("status")
    rows = admin.ok("GET", "/cluster/resources")
    nodes = [row for row in rows if row["type"] == "node"]
    vms = [row for row in rows if row["type"] == "qemu"]
    storages = [row for row in rows if row["type"] == "storage"]
    assert (status["status"], status["vm"], status["templates"]) == ("healthy", 4, 1)
    assert status["nodes"] == {"offline": 0, "online": 2, "unknown": 0}
    metrics = status["metrics"]
    assert metrics["cpu"]["total"] == sum(node["maxcpu"] for node in nodes) == 4
    assert metrics["cpu"]["allocated"] == sum(vm["maxcpu"] for vm in vms if vm["status"] == "running")
    assert metrics["memory"]["total"] == sum(node["maxmem"] for node in nodes)
    assert metrics["memory"]["allocated"] == sum(vm["maxmem"] for vm in vms if vm["status"] == "running") == 9 * _GIB
    assert metrics["disk"]["total"] == sum(storage["maxdisk"] for storage in storages) == 2500 * _GIB
    assert 0 < metrics["memory"]["usage"] < metrics["memory"]["total"]
    assert 0 < metrics["disk"]["usage"] < metrics["disk"]["total"]


def test_nodes_and_vms(pvecontrol: Pvecontrol, admin: Session) -> None:
    admin.ok("PUT", "/nodes/n1/qemu/1004/config", tags="web")
    nodes = pvecontrol.rows("node", "list")
    assert [(node["node"], node["status"], node["maxcpu"]) for node in nodes] == [
        ("n1", "NodeStatus.ONLINE", 2),
        ("n2", "NodeStatus.ONLINE", 2),
    ]
    assert [node["allocatedmem"] for node in nodes] == ["6.0 GiB", "3.0 GiB"]
    vms = {vm["vmid"]: vm for vm in pvecontrol.rows("vm", "list")}
    assert list(vms) == [1000, 1002, 1004, 1006, 9000]
    assert vms[1004] == {
        **{"vmid": 1004, "name": "vm-1004", "status": "VmStatus.RUNNING", "node": "n1", "cpus": 1},
        **{"maxmem": "4.0 GiB", "maxdisk": "8.0 GiB", "tags": ["web"]},
    }
    assert vms[9000]["status"] == "VmStatus.STOPPED"


def test_storages(pvecontrol: Pvecontrol) -> None:
    rows = pvecontrol.rows("storage", "list")
    assert [(row["storage"], row["nodes"], row["plugintype"], row["status"]) for row in rows] == [
        *(("local", node, "dir", "available") for node in ("n1", "n2")),
        *(("local-lvm", node, "lvmthin", "available") for node in ("n1", "n2")),
    ]
    assert {row["maxdisk"] for row in rows} == {"250.0 GiB", "1000.0 GiB"}
    assert {row["shared"] for row in rows} == {"local"}


def test_users_groups_and_acls(pvecontrol: Pvecontrol, admin: Session) -> None:
    admin.ok("POST", "/access/groups", groupid="ops", comment="On call")
    admin.ok("POST", "/access/users", userid="ann@pve", groups="ops", email="ann@example.com", enable=0)
    admin.ok("POST", "/access/users/ann@pve/token/ci")
    admin.ok("PUT", "/access/acl", path="/pool/catalog", groups="ops", roles="PVEAuditor", propagate=0)
    users = {user["userid"]: user for user in pvecontrol.rows("user", "list")}
    assert set(users) == {"ann@pve", "root@pam"}
    assert users["ann@pve"] == {
        **{"userid": "ann@pve", "firstname": "", "lastname": "", "email": "ann@example.com", "realm_type": ""},
        **{"enable": False, "expire": 0, "groups": ["ops"], "tokens": ["ann@pve!ci"]},
    }
    assert pvecontrol.rows("group", "list") == [{"groupid": "ops", "comment": "On call", "users": ["ann@pve"]}]
    assert pvecontrol.rows("acl", "list") == [
        {"path": "/pool/catalog", "type": "group", "ugid": "ops", "roleid": "PVEAuditor", "propagate": False}
    ]


def test_tasks(pvecontrol: Pvecontrol, admin: Session) -> None:
    good = admin.ok("POST", "/nodes/n1/qemu/1000/status/stop")
    bad = admin.ok("POST", "/nodes/n2/qemu/1002/status/start")
    assert [admin.wait(good), admin.wait(bad)] == ["OK", "VM 1002 already running"]
    tasks = {task["upid"]: task for task in pvecontrol.rows("task", "list")}
    assert set(tasks) == {good, bad}
    assert {upid: (task["node"], task["type"], task["exitstatus"]) for upid, task in tasks.items()} == {
        good: ("n1", "qmstop", "OK"),
        bad: ("n2", "qmstart", "VM 1002 already running"),
    }
    assert {task["runningstatus"] for task in tasks.values()} == {"TaskRunningStatus.STOPPED"}
    told = pvecontrol.says("task", "get", bad)
    assert "TASK ERROR: VM 1002 already running" in told


def test_a_vm_migrates(pvecontrol: Pvecontrol, admin: Session) -> None:
    said = pvecontrol.says("vm", "migrate", "1004", "--target", "n2", "--online", "--wait")
    assert "qmigrate" in said
    assert " OK " in said
    assert {row["vmid"]: row["node"] for row in admin.ok("GET", "/cluster/resources", type="vm")}[1004] == "n2"


def test_a_node_is_evacuated_after_a_yes(pvecontrol: Pvecontrol, admin: Session) -> None:
    said = pvecontrol.says("node", "evacuate", "n1", "--online", "--wait", typed="yes\n")
    assert "Migrate VM: 1000 / vm-1000 from n1 to n2" in said
    places = {row["vmid"]: (row["node"], row["status"]) for row in admin.ok("GET", "/cluster/resources", type="vm")}
    assert [places[1000], places[1004]] == [("n2", "running")] * 2
    assert places[1001] == ("n1", "running")


@pytest.mark.matrix
def test_a_vm_is_restored_from_its_backup(pvecontrol: Pvecontrol, admin: Session) -> None:
    assert admin.task("POST", "/nodes/n1/vzdump", vmid="1000", storage="local") == "OK"
    (backup,) = admin.ok("GET", "/nodes/n1/storage/local/content", content="backup")
    said = pvecontrol.says("vm", "restore", "1100", "--target", "n1", "--archive", backup["volid"], "--wait")
    assert "qmrestore" in said
    assert admin.ok("GET", "/nodes/n1/qemu/1100/config")["name"] == "vm-1000"
    taken = pvecontrol.run("vm", "restore", "1000", "--target", "n1", "--archive", backup["volid"])
    assert taken.returncode == 1
    assert "VM 1000 already exists on node 'n1'" in taken.stderr


def test_checks_of_sanity(pvecontrol: Pvecontrol, admin: Session) -> None:
    admin.ok("PUT", "/nodes/n1/qemu/1000/config", onboot=1)
    admin.ok("POST", "/cluster/backup", id="nightly", schedule="02:00", storage="local", vmid="1002")
    done = pvecontrol.run("sanitycheck")
    assert done.returncode == 1, "running VMs that do not start with their host are critical"
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert not any("VM '1000/vm-1000' is running but" in line for line in lines)
    assert any("VM '1004/vm-1004' is running but 'startonboot' is set to false" in line for line in lines)
    assert any("Vm 1006 (vm-1006) is not associated to any backup job" in line for line in lines)
    assert not any("Vm 1002 (vm-1002) is not associated" in line for line in lines)
    assert any("HA Group checked" in line for line in lines)
    assert "Total checks: 6" in lines


@pytest.mark.matrix
def test_the_report(pvecontrol: Pvecontrol, admin: Session) -> None:
    admin.ok("POST", "/cluster/backup", id="nightly", schedule="02:00", storage="local", all=1, exclude="1002")
    said = pvecontrol.says("--output", "md", "report")
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "- **Version**: 9.1.8" in lines
    assert "| nightly | local | 02:00 | All | Yes | All VMs (exclude: 1002) |" in lines
    assert "| n2 | ONLINE | 9.1.8 | 2 | 2 | 4 |" in next(line for line in lines if line.startswith("| n2 | ONLINE"))
    vms = [line for line in lines if line.startswith(("| 1000 |", "| 1002 |"))]
    assert [vm.endswith("| nightly |") for vm in vms] == [True, False]
    assert "No HA groups configured." in lines


def test_a_wrong_password_is_refused(pvecontrol: Pvecontrol, admin: Session) -> None:
    admin.ok("PUT", "/access/password", userid="root@pam", password="another-password")
    done = pvecontrol.run("status")
    assert done.returncode != 0
    assert "Couldn't authenticate user: root@pam" in done.stderr
