"""Changes of configurations that PVE refuses or completes by itself."""

from typing import Any

import pytest

from tests.lab.guests.api import ISO, Api
from tests.lab.process import LabProcess

AT = "/nodes/n1/qemu/100/config"


@pytest.fixture
def machine(root: Api) -> Api:
    root.machine(100, scsi0="local-lvm:1", net0="virtio,bridge=vmbr0", memory=1024, balloon=512)
    return root


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"cores": 2, "delete": "cores"}, {"delete": "you can't use '-cores' and -delete cores' at the same time"}),
        ({"cores": 2, "revert": "cores"}, {"delete": "you can't use '-cores' and -revert cores' at the same time"}),
        (
            {"revert": "cores", "delete": "cores"},
            {"revert": "you can't use '-delete cores' and -revert cores' at the same time"},
        ),
        ({"revert": "cores,bogus", "delete": "cores"}, {"revert": "unknown option 'bogus'"}),
        ({"memory": 256}, "balloon value too large (must be smaller than assigned memory)"),
        ({"boot": "order=scsi0;scsi9"}, "invalid bootorder: device 'scsi9' does not exist'"),
        ({"boot": "order=net0", "delete": "net0"}, "invalid bootorder: device 'net0' does not exist'"),
    ],
)
def test_changes_that_no_machine_takes(machine: Api, params: dict[str, Any], wanted: Any) -> None:
    answer = machine.ask("PUT", AT, **params)
    assert (answer.errors or answer.reason) == wanted


def test_a_new_cd_drive_can_be_booted_from(machine: Api) -> None:
    machine.do("PUT", AT, ide2=f"{ISO},media=cdrom", scsi1="local-lvm:1", ide0="local-lvm:cloudinit")
    assert machine.get(AT)["boot"] == "order=scsi0;net0;ide2"
    machine.do("PUT", AT, boot="order=net0;ide2")
    assert machine.get(AT)["boot"] == "order=net0;ide2"
    machine.do("PUT", AT, delete="ide2,net0")
    assert machine.get(AT)["boot"] == " "


def test_windows_is_pinned_to_a_machine(root: Api) -> None:
    for vmid, params, wanted in (
        (100, {}, None),
        (101, {"ostype": "win11"}, "pc-i440fx-10.1"),
        (102, {"ostype": "win10", "machine": "q35,viommu=intel"}, "pc-q35-10.1,viommu=intel"),
        (103, {"ostype": "w2k8", "machine": "pc-q35-9.0"}, "pc-q35-9.0"),
    ):
        root.machine(vmid, **params)
        assert root.get(f"/nodes/n1/qemu/{vmid}/config").get("machine") == wanted
    root.do("PUT", AT, ostype="win11")
    assert root.get(AT)["machine"] == "pc-i440fx-10.1"
    root.do("PUT", "/nodes/n1/qemu/102/config", ostype="win11", delete="machine")
    assert "machine" not in root.get("/nodes/n1/qemu/102/config")


def test_weights_end_where_those_of_cgroups_end(machine: Api) -> None:
    machine.do("PUT", AT, cpuunits=200_000)
    machine.container(200, cpuunits=9_999)
    machine.do("PUT", "/nodes/n1/lxc/200/config", cpuunits=500_000)
    assert machine.get(AT)["cpuunits"] == 10_000
    assert machine.get("/nodes/n1/lxc/200/config")["cpuunits"] == 10_000


def test_mount_points_of_a_running_container(root: Api) -> None:
    root.container(200, mp0="local-lvm:1,mp=/a")
    root.task("POST", "/nodes/n1/lxc/200/status/start")
    at = "/nodes/n1/lxc/200/config"
    root.do("PUT", at, mp1="local-lvm:1,mp=/b")
    assert "mp1" in root.get(at, current=1)
    root.do("PUT", at, delete="mp0")
    root.do("PUT", at, mp1="local-lvm:vm-200-disk-2,mp=/c")
    assert "mp0" in root.get(at, current=1)
    assert "mp0" not in root.get(at)
    assert "mp=/b" in root.get(at, current=1)["mp1"]
    assert "mp=/c" in root.get(at)["mp1"]


def test_what_a_container_must_keep(root: Api) -> None:
    root.container(200)
    at = "/nodes/n1/lxc/200/config"
    assert root.ask("PUT", at, delete="ostype").reason == "unable to delete required option 'ostype'"
    assert root.ask("PUT", at, delete="unprivileged").reason == "unable to delete read-only option: 'unprivileged'"


@pytest.mark.parametrize("kind", ["qemu", "lxc"])
def test_a_snapshot_has_no_current_values(root: Api, kind: str) -> None:
    text = "cannot use 'snapshot' parameter with 'current'"
    answer = root.ask("GET", f"/nodes/n1/{kind}/999/config", snapshot="s1", current=1)
    assert answer.errors == {"snapshot": text, "current": text}


def test_keys_that_no_keyboard_has(machine: Api) -> None:
    machine.task("POST", "/nodes/n1/qemu/100/status/start")
    for key, status in (("ctrl-alt-delete", 200), ("0x2a", 200), ("ctrl-no", 500)):
        assert machine.ask("PUT", "/nodes/n1/qemu/100/sendkey", key=key).status == status
    assert machine.ask("PUT", "/nodes/n1/qemu/100/sendkey", key="ctrl-no").reason == "invalid parameter: no"


def test_a_change_that_fails_in_time_is_told_at_once(lab: LabProcess, machine: Api) -> None:
    change = {"scsi5": "local-lvm:1,format=qcow2", "background_delay": 10}
    found = lab.login().refused("POST", AT, **change)
    assert found == (500, "failed to update VM 100: unsupported format 'qcow2'")


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"cores": 2, "delete": "cores"}, {"delete": "you can't use '-cores' and -delete cores' at the same time"}),
        ({"cores": 2, "revert": "cores"}, {"revert": "you can't use '-cores' and '-revert cores' at the same time"}),
        (
            {"revert": "cores", "delete": "cores"},
            {"delete": "you can't use '-delete cores' and '-revert cores' at the same time"},
        ),
        ({"mp1": "nope:1,mp=/x"}, "storage 'nope' does not exist"),
        ({"mp1": "local:1,mp=/x"}, "storage 'local' does not allow content type 'rootdir' (Container)"),
        (
            {"mp1": "local-lvm:vm-200-disk-7,mp=/x"},
            {"mp1": "unable to apply pending change mp1 : no such logical volume pve/vm-200-disk-7\n"},
        ),
        ({"protection": 1, "delete": "mp0"}, None),
    ],
)
def test_changes_that_no_container_takes(root: Api, params: dict[str, Any], wanted: Any) -> None:
    root.container(200, mp0="local-lvm:1,mp=/a")
    answer = root.ask("PUT", "/nodes/n1/lxc/200/config", **params)
    assert (answer.errors or answer.reason if answer.status != 200 else None) == wanted


def test_protected_mount_points_stay_as_they_are(root: Api) -> None:
    root.container(200, mp0="local-lvm:1,mp=/a", protection=1)
    at = "/nodes/n1/lxc/200/config"
    for params, verb in (({"mp0": "local-lvm:2,mp=/b"}, "update"), ({"delete": "mp0"}, "remove")):
        answer = root.ask("PUT", at, **params)
        assert answer.reason == f"can't {verb} CT 200 drive 'mp0' - protection mode enabled"


def test_a_lock_is_seen_before_rights(root: Api) -> None:
    root.container(200)
    root.do("PUT", "/nodes/n1/lxc/200/config", lock="backup")
    tenant = root.tenant("red")
    root.do("PUT", "/pools/red", vms=200)
    answer = tenant.ask("PUT", "/nodes/n1/lxc/200/config", hookscript="local:snippets/x")
    assert answer.reason == "CT is locked (backup)"


def test_an_unused_volume_that_a_snapshot_needs_is_only_forgotten(root: Api) -> None:
    root.container(200, mp0="local-lvm:1,mp=/a")
    root.task("POST", "/nodes/n1/lxc/200/snapshot", snapname="s1")
    at = "/nodes/n1/lxc/200/config"
    root.do("PUT", at, delete="mp0")
    root.do("PUT", at, delete="unused0")
    assert "unused0" not in root.get(at)
    assert "local-lvm:vm-200-disk-1" in root.volumes()


def test_a_mount_point_that_could_not_be_made_waits(root: Api) -> None:
    root.container(200)
    at = "/nodes/n1/lxc/200"
    assert root.ask("PUT", f"{at}/config", mp1="local-lvm:vm-200-disk-7,mp=/x").status == 400
    assert root.task("POST", f"{at}/status/start") == "OK"
    [row] = [row for row in root.get(f"{at}/pending") if row["key"] == "mp1"]
    assert row == {"key": "mp1", "pending": "local-lvm:vm-200-disk-7,mp=/x"}
    root.do("PUT", f"{at}/config", revert="mp1")
    assert not [row for row in root.get(f"{at}/pending") if row["key"] == "mp1"]


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"serial1": "/dev/ttyS0"}, "only root can modify 'serial1' config for real devices"),
        ({"serial0": "socket"}, "only root can modify 'serial0' config for real devices"),
        ({"delete": "serial0"}, "only root can delete 'serial0' config for real devices"),
        ({"usb0": "host=1234:5678"}, "only root can set 'usb0' config for real devices"),
        ({"hostpci0": "01:00.0"}, "only root can set 'hostpci0' config for non-mapped devices"),
        ({"delete": "usb1"}, "only root can set 'usb1' config for real devices"),
        ({"ide0": "local-lvm:cloudinit"}, None),
    ],
)
def test_devices_that_are_roots_alone(root: Api, params: dict[str, Any], wanted: str | None) -> None:
    root.machine(100, serial0="/dev/ttyS0", usb1="host=1234:5678")
    tenant = root.tenant("red")
    root.do("PUT", "/pools/red", vms=100)
    answer = tenant.ask("PUT", AT, **params)
    assert (answer.reason if answer.status != 200 else None) == wanted


def test_a_cloud_init_drive_needs_its_own_right(root: Api) -> None:
    root.machine(100)
    tenant = root.tenant("red")
    root.do("PUT", "/pools/red", vms=100)
    root.do("PUT", "/access/roles/Guest", privs="VM.Audit,VM.Config.Disk,VM.Config.CDROM")
    answer = tenant.ask("PUT", AT, ide0="local-lvm:cloudinit")
    assert answer.reason == "Permission check failed (/vms/100, VM.Config.Cloudinit)"
    assert tenant.ask("PUT", AT, ide0="none,media=cdrom").status == 200


def test_an_empty_value_is_read_back_as_a_blank(root: Api) -> None:
    """So does PVE's file, `nameserver: `, of which a pattern takes one character at least."""
    empty = {"nameserver": "", "searchdomain": "", "ciuser": "", "boot": "", "tags": ""}
    root.machine(100)
    root.do("PUT", AT, **empty)
    assert {key: root.get(AT)[key] for key in empty} == dict.fromkeys(empty, " ")
    rows = {row["key"]: row["value"] for row in root.get("/nodes/n1/qemu/100/pending")}
    assert rows["ciuser"] == " "
    root.container(200)
    root.do("PUT", "/nodes/n1/lxc/200/config", nameserver="", searchdomain="")
    values = root.get("/nodes/n1/lxc/200/config")
    assert (values["nameserver"], values["searchdomain"]) == (" ", " ")
    for path in (AT, "/nodes/n1/lxc/200/config"):
        assert root.ask("PUT", path, startup="").errors == {
            "startup": "invalid format - unable to parse startup options\n"
        }


def test_a_description_is_what_its_comment_lines_say(root: Api) -> None:
    root.machine(100, description="")
    root.container(200, description="")
    for path, ends in ((AT, ""), ("/nodes/n1/lxc/200/config", "\n")):
        assert "description" not in root.get(path)
        root.do("PUT", path, description="a\n\n")
        assert root.get(path)["description"] == f"a{ends}"
        root.do("PUT", path, description="")
        assert "description" not in root.get(path)
