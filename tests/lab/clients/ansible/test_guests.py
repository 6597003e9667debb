"""Virtual machines, containers, their devices and clones by `community.proxmox`."""

from __future__ import annotations

import pytest

from tests.lab.clients.ansible.playing import Player
from tests.lab.process import Session


def test_a_guest_of_each_kind_is_made_and_started_once(player: Player, root: Session) -> None:
    first, again = player.play("first-guests", "first-guests")
    assert first.unchanged == ["guests"]
    assert again.changed == []
    seen = {guest["vmid"]: guest for guest in again.of("guests")["proxmox_vms"]}
    assert {vmid: (guest["type"], guest["name"], guest["status"]) for vmid, guest in seen.items()} == {
        100: ("qemu", "web", "running"),
        200: ("lxc", "db", "running"),
    }
    config = seen[100]["config"]
    assert (config["memory"], config["cores"], config["tags"]) == ("1024", 2, "web;shop")
    assert config["scsi0"] == "local-lvm:vm-100-disk-0,size=4G"
    assert seen[200]["config"]["rootfs"] == "local-lvm:vm-200-disk-0,size=4G"
    snapshots = root.ok("GET", "/nodes/n1/lxc/200/snapshot")
    assert {row["name"]: row["description"] for row in snapshots}["before"] == "Before the change\n"


@pytest.mark.matrix
def test_a_machine_lives(player: Player, root: Session) -> None:
    (life,) = player.play("kvm")
    assert life.unchanged == ["made again", "started again", "state", "removed while it runs", "stopped again"]
    assert (life.of("state")["status"], life.of("stopped again")["status"]) == ("running", "stopped")
    config = root.ok("GET", "/nodes/n1/qemu/100/config")
    assert (config["memory"], config["description"]) == ("2048", "Twice the memory")
    assert (config["ciuser"], config["nameserver"]) == ("ops", "192.0.2.1 192.0.2.2")
    assert "searchdomain" not in config
    assert life.of("made")["devices"]["scsi0"] == "local-lvm:vm-100-disk-0"
    assert life.of("made")["mac"]["net0"] in config["net0"]


@pytest.mark.matrix
def test_a_machine_is_cloned_moved_and_removed(player: Player, root: Session) -> None:
    clones = player.play("kvm", "kvm-clones")[1]
    assert clones.unchanged == ["full clone again", "template again", "moved again", "removed again"]
    guests = {guest["vmid"]: guest for guest in root.ok("GET", "/cluster/resources", type="vm")}
    assert {vmid: (guest["name"], guest["template"]) for vmid, guest in guests.items()} == {
        100: ("web", 1),
        102: ("linked", 0),
    }
    assert root.ok("GET", "/nodes/n1/qemu/100/config")["scsi0"] == "local-lvm:base-100-disk-0,size=4G"
    assert root.ok("GET", "/nodes/n1/qemu/102/config")["scsi0"] == "local-lvm:vm-102-disk-0,size=4G"


@pytest.mark.matrix
def test_devices_come_and_go(player: Player, root: Session) -> None:
    devices = player.play("kvm", "devices")[1]
    again = [name for name in devices if name.endswith(" again")]
    assert devices.unchanged == again
    config = root.ok("GET", "/nodes/n1/qemu/100/config")
    assert config["ide0"].startswith("local:iso/debian-12.12.0-amd64-netinst.iso,media=cdrom")
    assert not {"scsi1", "unused0", "net1"} & set(config)
    volumes = {row["volid"] for row in root.ok("GET", "/nodes/n1/storage/local-lvm/content")}
    assert volumes == {"local-lvm:vm-100-disk-0", "local-lvm:vm-100-cloudinit"}


@pytest.mark.matrix
def test_a_container_lives(player: Player, root: Session) -> None:
    (life,) = player.play("lxc")
    assert life.unchanged == ["kept", "started again", "removed while it runs", "stopped again"]
    config = root.ok("GET", "/nodes/n1/lxc/200/config")
    assert (config["memory"], config["features"], config["timezone"]) == (2048, "nesting=1", "Europe/Berlin")
    assert config["tags"] == "db;shop"
    assert config["mp0"] == "local-lvm:vm-200-disk-1,mp=/srv,size=2G"


@pytest.mark.matrix
def test_a_container_is_cloned_and_removed(player: Player, root: Session) -> None:
    clones = player.play("lxc", "lxc-clones")[1]
    assert clones.unchanged == ["full clone again", "template again", "removed again"]
    guests = {guest["vmid"]: guest for guest in root.ok("GET", "/cluster/resources", type="vm")}
    assert {vmid: (guest["name"], guest["template"]) for vmid, guest in guests.items()} == {
        200: ("db", 1),
        202: ("linked", 0),
    }
