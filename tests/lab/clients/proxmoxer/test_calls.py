"""What a script with proxmoxer does all day: guests, tasks, files, the guest agent, and errors in PVE's words."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from proxmoxer import ProxmoxAPI, ResourceException
from proxmoxer.tools import Files, Tasks

from tests.lab.process import LabProcess

_TEMPLATE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"


def _end(api: ProxmoxAPI, upid: str) -> str:
    return str(Tasks.blocking_status(api, upid, timeout=20, polling_interval=0.02)["exitstatus"])


def test_the_life_of_a_container(api: ProxmoxAPI) -> None:
    vmid, node = api.cluster.nextid.get(), api.nodes("n1")
    assert vmid == "100"
    network = "name=eth0,bridge=vmbr0,ip=dhcp"
    created = node.lxc.post(vmid=vmid, ostemplate=_TEMPLATE, storage="local-lvm", hostname="web", net0=network)
    assert _end(api, created) == "OK"
    config = node.lxc(vmid).config.get()
    assert (config["hostname"], config["memory"], config["unprivileged"]) == ("web", 512, 1)
    assert config["rootfs"].startswith("local-lvm:vm-100-disk-0,size=")
    node.lxc(vmid).config.put(cores=2, description="changed")
    assert _end(api, node.lxc(vmid).status.start.post()) == "OK"
    assert node.lxc(vmid).status.current.get()["status"] == "running"
    assert _end(api, node.lxc(vmid).snapshot.post(snapname="before")) == "OK"
    assert [row["name"] for row in node.lxc(vmid).snapshot.get()] == ["before", "current"]
    assert _end(api, node.lxc(vmid).status.stop.post()) == "OK"
    assert _end(api, node.lxc(vmid).delete(purge=1)) == "OK"
    with pytest.raises(ResourceException, match=r"Configuration file 'nodes/n1/lxc/100\.conf' does not exist"):
        node.lxc(vmid).config.get()


def test_a_clone_of_the_template_has_an_agent_that_runs_commands(api: ProxmoxAPI) -> None:
    node = api.nodes("n1")
    assert _end(api, node.qemu(9000).clone.post(newid=200, name="agent", pool="catalog")) == "OK"
    with pytest.raises(ResourceException, match="VM 200 is not running"):
        node.qemu(200).agent("ping").post()
    assert _end(api, node.qemu(200).status.start.post()) == "OK"
    started = node.qemu(200).agent("exec").post(command="echo 'two words'")
    status = node.qemu(200).agent("exec-status").get(pid=started["pid"])
    assert (status["exited"], status["exitcode"], status["out-data"]) == (1, 0, "two words\n")
    assert node.qemu(200).agent("network-get-interfaces").get()["result"]


def test_tasks_are_followed_and_their_logs_read(api: ProxmoxAPI) -> None:
    good = api.nodes("n1").qemu(1000).status.stop.post()
    assert _end(api, good) == "OK"
    bad = api.nodes("n2").qemu(1002).status.start.post()
    assert _end(api, bad) == "VM 1002 already running"
    told = Tasks.decode_upid(bad)
    assert {key: told[key] for key in ("node", "type", "id", "user", "comment")} == {
        **{"node": "n2", "type": "qmstart", "id": "1002", "user": "root@pam", "comment": ""}
    }
    row = next(row for row in api.nodes("n2").tasks.get() if row["upid"] == bad)
    assert {key: row[key] for key in ("pid", "pstart", "starttime")} == {
        key: told[key] for key in ("pid", "pstart", "starttime")
    }
    log = Tasks.decode_log(api.nodes("n2").tasks(bad).log.get())
    assert log.splitlines()[-1] == "TASK ERROR: VM 1002 already running"


def test_a_task_that_lasts_is_not_waited_for_for_ever(demo: LabProcess, api: ProxmoxAPI) -> None:
    demo.control("PUT", "clock", {"time_scale": 1})
    try:
        upid = api.nodes("n1").vzdump.post(vmid="1000", storage="local")
        assert Tasks.blocking_status(api, upid, timeout=0, polling_interval=0) is None
        assert api.nodes("n1").tasks(upid).status.get()["status"] == "running"
        api.nodes("n1").tasks(upid).delete()
    finally:
        demo.control("PUT", "clock", {"time_scale": 0})
    assert _end(api, upid) != "OK"


@pytest.mark.parametrize("size", [100, 12 << 20], ids=["small", "large"])
def test_an_upload_is_checked_by_its_sum(api: ProxmoxAPI, tmp_path: Path, size: int) -> None:
    image = tmp_path / "disk one.iso"
    image.write_bytes(b"\x07" * size)
    status = Files(api, "n1", "local").upload_local_file_to_storage(str(image), blocking_status=False)
    assert _end(api, status["upid"]) == "OK"
    found = {row["volid"]: row["size"] for row in api.nodes("n1").storage("local").content.get(content="iso")}
    assert found["local:iso/disk_one.iso"] == size


def test_an_upload_with_another_sum_leaves_nothing(api: ProxmoxAPI, tmp_path: Path) -> None:
    image = tmp_path / "wrong.iso"
    image.write_bytes(b"some bytes")
    wrong = hashlib.sha256(b"other bytes").hexdigest()
    with image.open("rb") as file:
        upid = (
            api.nodes("n1")
            .storage("local")
            .upload.post(content="iso", filename=file, checksum=wrong, **{"checksum-algorithm": "sha256"})
        )
    assert "checksum" in _end(api, upid)
    volumes = {row["volid"] for row in api.nodes("n1").storage("local").content.get()}
    assert "local:iso/wrong.iso" not in volumes


def test_errors_arrive_with_their_reason(api: ProxmoxAPI) -> None:
    with pytest.raises(ResourceException) as missing:
        api.nodes("n1").qemu(4711).status.current.get()
    assert missing.value.status_code == 500
    assert missing.value.content.startswith("Configuration file 'nodes/n1/qemu-server/4711.conf' does not exist")
    with pytest.raises(ResourceException) as wrong:
        api.nodes("n1").qemu.post(vmid=1, memory="much", colour="red")
    assert (wrong.value.status_code, wrong.value.status_message) == (400, "Bad Request")
    assert wrong.value.errors == {
        "vmid": "invalid format - value does not look like a valid VM ID\n",
        "memory": "invalid format - format error\nmemory.current: type check ('integer') failed - got 'much'\n",
        "colour": "property is not defined in schema and the schema does not allow additional properties",
    }
    with pytest.raises(ResourceException) as unknown:
        api.cluster("no-such-thing").get()
    assert (unknown.value.status_code, unknown.value.status_message) == (501, "Not Implemented")


def test_a_node_that_is_away(demo: LabProcess, api: ProxmoxAPI) -> None:
    state = demo.control("GET", "state")
    state["nodes"]["n2"]["reachable"] = False
    demo.control("PUT", "state", state)
    with pytest.raises(ResourceException) as away:
        api.nodes("n2").qemu.get()
    assert away.value.status_code == 595
    assert "Connection refused" in str(away.value)
    assert {row["node"] for row in api.cluster.resources.get(type="vm")} == {"n1", "n2"}
