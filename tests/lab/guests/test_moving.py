"""Disks on their way to another storage or guest: what PVE refuses, in its words and its order."""

from typing import Any

import pytest

from tests.lab.guests.api import Api

NO = "0" * 40
CHANGED = "detected modified configuration - file changed by other user? Try again."
MISSING = "property is missing and it is not optional"
BOTH = "either set 'storage' or 'target-vmid', but not both"


def refusal(root: Api, path: str, **params: Any) -> Any:
    answer = root.ask("POST", path, **params)
    return answer.errors if answer.status == 400 else (answer.status, answer.reason)


@pytest.fixture
def machines(root: Api) -> Api:
    root.machine(100, scsi0="local-lvm:1", ide2="none,media=cdrom")
    root.machine(101, scsi0="local-lvm:1")
    root.do("POST", "/nodes/n2/qemu", vmid=102)
    return root


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"disk": "scsi0", "storage": "local", "digest": NO}, (500, CHANGED)),
        ({"disk": "scsi5", "storage": "nope"}, (500, "disk 'scsi5' does not exist")),
        ({"disk": "ide2", "storage": "local-lvm"}, (500, "you can't move a cdrom")),
        ({"disk": "scsi0", "storage": "local"}, {"storage": "storage 'local' does not support vm images"}),
        ({"disk": "scsi0", "storage": "local", "target-vmid": 101}, {"storage": BOTH, "target-vmid": BOTH}),
        ({"disk": "scsi0", "target-vmid": 999}, (500, "could not find target VM 999")),
        ({"disk": "scsi0", "target-vmid": 102}, (500, "Both VMs need to be on the same node (n1 != n2)")),
        ({"disk": "scsi0", "target-vmid": 101, "digest": NO}, (500, f"VM 100: {CHANGED}")),
        ({"disk": "scsi1", "target-vmid": 101, "target-digest": NO}, (500, f"VM 101: {CHANGED}")),
        ({"disk": "scsi1", "target-vmid": 101}, (500, "Disk 'scsi1' for VM '100' does not exist")),
        ({"disk": "scsi0", "target-vmid": 101}, (500, "Target disk key 'scsi0' is already in use for VM '101'")),
        ({"disk": "ide2", "target-vmid": 101}, (500, "CD drive contents can't be moved to another VM")),
    ],
)
def test_disks_that_stay(machines: Api, params: dict[str, Any], wanted: Any) -> None:
    assert refusal(machines, "/nodes/n1/qemu/100/move_disk", **params) == wanted


def test_a_disk_that_a_snapshot_or_a_run_needs(machines: Api) -> None:
    at = "/nodes/n1/qemu/100"
    machines.task("POST", f"{at}/status/start")
    text = "Cannot move disk to another VM while the source VM is running - detach first"
    asked = {"disk": "scsi0", "target-vmid": 101, "target-disk": "scsi1"}
    assert refusal(machines, f"{at}/move_disk", **asked) == (500, text)
    machines.task("POST", f"{at}/snapshot", snapname="s1")
    text = "Can't move disk used by a snapshot to another VM"
    assert refusal(machines, f"{at}/move_disk", **asked) == (500, text)


@pytest.fixture
def containers(root: Api) -> Api:
    root.container(200, mp0="local-lvm:1,mp=/data")
    root.container(201)
    root.container(202)
    root.task("POST", "/nodes/n1/lxc/202/migrate", target="n2")
    return root


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"volume": "mp0", "storage": "local", "target-vmid": 201}, (500, BOTH.replace("'", ""))),
        (
            {"volume": "unused0", "storage": "local"},
            (500, "cannot move volume 'unused0', only configured volumes can be moved to another storage"),
        ),
        ({"volume": "mp4", "storage": "local"}, (500, "format error")),
        ({"volume": "mp0", "storage": "local", "digest": NO}, (500, CHANGED)),
        ({"volume": "rootfs", "target-vmid": 201}, (500, "Cannot move to/from 'rootfs'")),
        (
            {"volume": "unused0", "target-vmid": 201, "target-volume": "mp1"},
            (500, "Moving an unused volume to a used one is not possible"),
        ),
        ({"volume": "mp0", "target-vmid": 999}, (500, "could not find CT 999")),
        ({"volume": "mp0", "target-vmid": 202}, (500, "Both containers need to be on the same node (n1 != n2)")),
        ({"volume": "mp0", "target-vmid": 201, "digest": NO}, (500, f"Container 200: {CHANGED}")),
        ({"volume": "mp3", "target-vmid": 201}, (500, "volume 'mp3' for container '200' does not exist")),
        ({"volume": "mp0", "target-vmid": 200}, (500, "Target volume key 'mp0' is already in use for container '200'")),
    ],
)
def test_mount_points_that_stay(containers: Api, params: dict[str, Any], wanted: Any) -> None:
    assert refusal(containers, "/nodes/n1/lxc/200/move_volume", **params) == wanted


def test_a_storage_that_takes_no_containers_fails_the_task(containers: Api) -> None:
    end = containers.task("POST", "/nodes/n1/lxc/200/move_volume", volume="mp0", storage="local")
    assert end == "content type 'rootdir' is not available or configured on storage 'local'"
    end = containers.task("POST", "/nodes/n1/lxc/200/move_volume", volume="mp0", storage="nope")
    assert end == "storage 'nope' does not exist"


def test_a_mount_point_that_is_not_there_has_no_size(containers: Api) -> None:
    answer = containers.ask("PUT", "/nodes/n1/lxc/200/resize", disk="mp7", size="+1G")
    assert (answer.status, answer.reason) == (500, "format error")
    assert answer.errors == {"mp": MISSING, "volume": MISSING}


def test_what_binds_a_guest_to_its_node(machines: Api) -> None:
    machines.do("PUT", "/nodes/n1/qemu/100/config", delete="scsi0")
    found = machines.get("/nodes/n1/qemu/100/migrate")
    assert (found["allowed_nodes"], found["not_allowed_nodes"], found["has-dbus-vmstate"]) == (["n2"], {}, 1)
    [row] = found["local_disks"]
    assert (row["volid"], row["is_unused"], row["is_attached"]) == ("local-lvm:vm-100-disk-0", 1, 0)
    machines.do("PUT", "/storage/local-lvm", nodes="n1")
    found = machines.get("/nodes/n1/qemu/100/migrate")
    assert found["not_allowed_nodes"] == {"n2": {"unavailable_storages": ["local-lvm"]}}
    machines.container(200)
    found = machines.get("/nodes/n1/lxc/200/migrate")
    assert found == {"running": 0, "allowed-nodes": ["n2"], "not-allowed-nodes": {}}
    machines.do("PUT", "/nodes/n1/lxc/200/config", lock="backup")
    assert machines.ask("GET", "/nodes/n1/lxc/200/migrate").reason == "CT is locked (backup)"


def test_what_a_local_snapshot_needs_stays(root: Api) -> None:
    """Thin volumes can not be sent with their snapshots."""
    root.machine(100, scsi0="local-lvm:1")
    root.container(200)
    for guest, word in (("qemu/100", "VM"), ("lxc/200", "CT")):
        path = f"/nodes/n1/{guest}"
        assert root.task("POST", f"{path}/snapshot", snapname="one") == "OK"
        upid = root.do("POST", f"{path}/migrate", target="n2")
        assert root.ended(upid) == "migration aborted"
        log = "\n".join(row["t"] for row in root.get(f"/nodes/n1/tasks/{upid}/log"))
        volid = f"local-lvm:vm-{guest[-3:]}-disk-0"
        assert f"can't migrate local volume '{volid}': non-migratable snapshot exists" in log
        assert f"can't migrate {word} - check log" in log
        assert root.get(f"{path}/config")["parent"] == "one"
        assert root.task("DELETE", f"{path}/snapshot/one") == "OK"
        assert root.task("POST", f"{path}/migrate", target="n2") == "OK"
