"""What a running VM takes at once, and what waits for its next start."""

from typing import Any

import pytest

from tests.lab.guests.api import ISO, Api

AT = "/nodes/n1/qemu/100/config"
DISK = "local-lvm:vm-100-disk-0"


@pytest.fixture
def machine(root: Api) -> Api:
    """Running."""
    assert root.machine(100, scsi0="local-lvm:1", net0="virtio=BC:24:11:00:00:01,bridge=vmbr0", memory=512) == "OK"
    assert root.task("POST", "/nodes/n1/qemu/100/status/start") == "OK"
    return root


def waits(machine: Api) -> set[str]:
    """The options of which something waits for the next start."""
    return {row["key"] for row in machine.get("/nodes/n1/qemu/100/pending") if {"pending", "delete"} & set(row)}


CARD = "virtio=BC:24:11:00:00:01"


@pytest.mark.parametrize(
    ("params", "late"),
    [
        ({"scsi0": f"{DISK},discard=on"}, {"scsi0"}),
        ({"scsi0": f"{DISK},cache=none"}, {"scsi0"}),
        ({"scsi0": f"{DISK},ssd=1,mbps=10"}, {"scsi0"}),
        ({"scsi0": f"{DISK},iothread=1"}, {"scsi0"}),
        ({"scsi0": f"{DISK},aio=native"}, {"scsi0"}),
        ({"scsi0": f"{DISK},ro=1"}, {"scsi0"}),
        ({"scsi0": f"{DISK},mbps=10,backup=0,replicate=0"}, set()),
        ({"scsi1": "local-lvm:1", "virtio0": "local-lvm:1"}, set()),
        ({"sata0": "local-lvm:1"}, {"sata0"}),
        ({"ide0": f"{ISO},media=cdrom"}, {"ide0", "boot"}),
        ({"efidisk0": "local-lvm:1"}, {"efidisk0"}),
        ({"net1": "virtio,bridge=vmbr0"}, set()),
        ({"net0": f"{CARD},bridge=vmbr0,tag=5,firewall=1"}, set()),
        ({"net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0"}, set()),
        ({"hotplug": "0"}, set()),
        ({"hotplug": "disk,network"}, set()),
        ({"hotplug": "disk,cpu"}, {"hotplug"}),
        ({"hotplug": "memory"}, {"hotplug"}),
        ({"tablet": 0}, set()),
        ({"migrate_speed_": 5, "migrate_downtime_": 1}, set()),
        ({"usb1": "spice"}, {"usb1"}),
        ({"template": 1}, {"template"}),
        ({"memory": 1024, "vcpus": 1, "cores": 2}, {"memory", "vcpus", "cores"}),
        ({"balloon": 256}, set()),
        ({"balloon": 0}, {"balloon"}),
        ({"agent": 1}, {"agent"}),
        ({"cpuunits": 200, "cpulimit": 1, "name": "b", "ciuser": "x", "ipconfig0": "ip=dhcp"}, set()),
        ({"delete": "scsi0"}, set()),
        ({"delete": "net0"}, set()),
        ({"delete": "memory"}, {"memory"}),
    ],
)
def test_what_waits(machine: Api, params: dict[str, Any], late: set[str]) -> None:
    machine.do("PUT", AT, **params)
    assert waits(machine) == late
    assert machine.task("POST", "/nodes/n1/qemu/100/status/stop") == "OK"
    assert waits(machine) == set()


def test_without_hotplug_cards_and_disks_wait(machine: Api) -> None:
    """A change that no plug is needed for happens all the same."""
    machine.do("PUT", AT, hotplug="0", net2="virtio,bridge=vmbr0")
    assert waits(machine) == set(), "what was there when the call came decides"
    machine.do("PUT", AT, net0=f"{CARD},bridge=vmbr0,tag=7", scsi0=f"{DISK},iops=100")
    assert waits(machine) == set()
    machine.do(
        "PUT", AT, net3="virtio,bridge=vmbr0", net0=f"e1000={CARD[7:]},bridge=vmbr0", scsi1="local-lvm:1", tablet=0
    )
    assert waits(machine) == {"net3", "net0", "scsi1", "tablet"}
    machine.do("PUT", AT, delete="net2,hotplug", revert="net0,net3,scsi1,tablet")
    assert waits(machine) == {"net2"}
    machine.do("PUT", AT, net4="virtio,bridge=vmbr0")
    assert waits(machine) == {"net2"}


def test_features_that_have_to_be_asked_for(root: Api) -> None:
    root.machine(100, hotplug="cpu,memory,usb", ostype="l26", numa=1, balloon=0, agent="1,fstrim_cloned_disks=0")
    assert root.task("POST", "/nodes/n1/qemu/100/status/start") == "OK"
    root.do("PUT", AT, memory=1024, vcpus=1, usb0="spice", agent="1,fstrim_cloned_disks=1")
    assert waits(root) == set()
    root.do("PUT", AT, agent="0", hotplug="usb", delete="balloon")
    assert waits(root) == {"agent", "hotplug", "balloon"}


def test_a_cd_drive_becomes_no_disk_while_the_vm_runs(root: Api) -> None:
    root.machine(100, ide2="none,media=cdrom")
    assert root.task("POST", "/nodes/n1/qemu/100/status/start") == "OK"
    answer = root.ask("PUT", AT, ide2="local-lvm:1", name="renamed")
    assert (answer.status, answer.errors) == (400, {"ide2": "hotplug problem - unable to change media type\n"})
    assert root.get(AT, current=1)["ide2"] == "none,media=cdrom"
    assert root.get(AT, current=1)["name"] == "renamed"
    assert waits(root) == {"ide2"}
    root.do("PUT", AT, revert="ide2")
    root.do("PUT", AT, ide2=f"{ISO},media=cdrom")
    assert waits(root) == set()
