"""The states that a lab can start from: `fresh`, `demo`, either with guests added, or a saved file."""

import secrets
import time
from pathlib import Path

from app.lab import saving
from app.lab.access import passwords
from app.lab.state import Cluster, Guest, Node, Pool, Realm, Storage, User, Volume, World

_GIB = 1 << 30
_ROOT = "root@pam"
FEWEST, MOST = 2, 32
"""Nodes of a cluster: fewer are none, corosync is not meant for more."""
_NET = "virtio=BC:24:11:{:02X}:{:02X}:{:02X},bridge=vmbr0"


def start(name: str, password: str, guests: int, nodes: int = FEWEST) -> World:
    """The world of a name: `fresh`, `demo`, or the path of a saved state, which has the nodes that it has.

    Raises saving.BadState or OSError.
    """
    if name in ("fresh", "demo"):
        world = fresh(nodes)
        if name == "demo":
            _add_catalog(world)
    else:
        world = saving.load(Path(name).read_bytes())
    set_root_password(world, password)
    _add_guests(world, guests)
    return world


def set_root_password(world: World, password: str) -> None:
    """The password of root@pam, whom every state has."""
    root = world.users.setdefault(_ROOT, User(_ROOT, email="admin@example.com"))
    if not passwords.fits(password, root.password):
        root.password = passwords.hashed(password)


def fresh(nodes: int = FEWEST) -> World:
    """Nodes n1, n2 and so on, two storages, an iso and a template on n1, and nobody but root@pam."""
    now = int(time.time())
    world = World(cluster=Cluster("testcluster"), local_node="n1", secret=secrets.token_hex(32))
    names = [f"n{number}" for number in range(1, nodes + 1)]
    hosts = "".join(f"127.0.0.{number} {name}.local {name}\n" for number, name in enumerate(names, start=1))
    for number, name in enumerate(names, start=1):
        world.nodes[name] = Node(
            name,
            number,
            f"127.0.0.{number}",
            booted_at=now - 3600 * number,
            hosts=f"127.0.0.1 localhost\n{hosts}",
            interfaces=_interfaces(),
        )
    world.realms = {
        "pam": Realm("pam", "pam", {"comment": "Linux PAM standard authentication"}),
        "pve": Realm("pve", "pve", {"comment": "Proxmox VE authentication server"}),
    }
    world.users[_ROOT] = User(_ROOT, email="admin@example.com")
    world.options = {"keyboard": "en-us"}
    world.storages = {
        "local": Storage("local", "dir", {"path": "/var/lib/vz", "content": "backup,iso,vztmpl"}, 250 * _GIB),
        "local-lvm": Storage(
            "local-lvm", "lvmthin", {"vgname": "pve", "thinpool": "data", "content": "images,rootdir"}, 1000 * _GIB
        ),
    }
    for volid, form, size in (
        ("local:iso/debian-12.12.0-amd64-netinst.iso", "iso", 1048576),
        ("local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst", "tzst", 17542),
    ):
        content = volid.split(":")[1].split("/")[0]
        world.volumes[f"n1/{volid}"] = Volume(volid, "local", "n1", content, form, size, ctime=now, used=size)
    return world


def _interfaces() -> dict[str, dict[str, object]]:
    bridge = {"type": "bridge", "method": "manual", "method6": "manual", "autostart": 1, "bridge_ports": ""}
    return {
        "eth0": {"type": "eth", "method": "manual", "method6": "manual", "exists": 1, "active": 1, "priority": 3},
        "vmbr0": bridge | {"bridge_stp": "off", "bridge_fd": "0", "active": 1, "priority": 4},
        "vmbr1": bridge | {"bridge_stp": "off", "bridge_fd": "0", "active": 1, "priority": 5},
    }


def _add_catalog(world: World) -> None:
    """A pool `catalog` with one VM template, so that clones have something to begin with; and media that no catalog has
    yet."""
    now = int(time.time())
    for name, form, size in (
        ("iso/alpine-virt-3.22.0-x86_64.iso", "iso", 67108),
        ("iso/debian-13.2.0-amd64-netinst.iso", "iso", 792576),
        ("vztmpl/alpine-3.22-default_20250617_amd64.tar.xz", "txz", 3166),
        ("vztmpl/ubuntu-24.04-standard_24.04-2_amd64.tar.zst", "tzst", 13824),
    ):
        volid, content = f"local:{name}", name.split("/")[0]
        world.volumes[f"n1/{volid}"] = Volume(volid, "local", "n1", content, form, size, ctime=now, used=size)
    vmid = 9000
    disk, drive = f"base-{vmid}-disk-0", f"vm-{vmid}-cloudinit"
    config: dict[str, str | int] = {
        "name": "debian-12-cloud",
        "description": "Debian 12 with cloud-init and a guest agent",
        "memory": "512",
        "cores": 1,
        "ostype": "l26",
        "agent": "enabled=1",
        "scsihw": "virtio-scsi-pci",
        "scsi0": f"local-lvm:{disk},size=2G",
        "ide2": f"local-lvm:{drive},media=cdrom,size=4M",
        "net0": _mac(vmid),
        "boot": "order=scsi0;net0",
        "serial0": "socket",
        "vga": "serial0",
        "template": 1,
    }
    world.guests[vmid] = Guest(vmid, "qemu", "n1", config, template=True, agent=True)
    _add_volume(world, "n1", f"local-lvm:{disk}", 2 * _GIB, vmid)
    _add_volume(world, "n1", f"local-lvm:{drive}", 4 << 20, vmid)
    world.pools["catalog"] = Pool("catalog", "Templates for all tenants", vms={vmid})


def _mac(vmid: int) -> str:
    return _NET.format(vmid >> 16 & 255, vmid >> 8 & 255, vmid & 255)


def _add_volume(world: World, node: str, volid: str, size: int, vmid: int) -> None:
    world.volumes[f"{node}/{volid}"] = Volume(
        volid, "local-lvm", node, "images", "raw", size, vmid, ctime=int(time.time()), used=size // 4
    )


def _add_guests(world: World, count: int) -> None:
    """Guests of both kinds in turn, over the nodes in turn, three of four running."""
    nodes, now = list(world.nodes), time.time()
    vmid = 1000
    for number in range(count):
        while vmid in world.guests:
            vmid += 1
        kind = "lxc" if number % 2 else "qemu"
        guest = Guest(vmid, kind, nodes[number // 2 % len(nodes)], _lxc(vmid) if kind == "lxc" else _qemu(vmid))
        if number % 4 != 3:
            guest.status, guest.started_at = "running", now - number % 86_400
        world.guests[vmid] = guest
        size = (8 if kind == "qemu" else 4) * _GIB
        _add_volume(world, guest.node, f"local-lvm:vm-{vmid}-disk-0", size, vmid)


def _qemu(vmid: int) -> dict[str, str | int]:
    return {
        "name": f"vm-{vmid}",
        "memory": str(1024 << vmid % 3),
        "cores": 1 + vmid % 4,
        "ostype": "l26",
        "scsi0": f"local-lvm:vm-{vmid}-disk-0,size=8G",
        "net0": _mac(vmid),
        "boot": "order=scsi0;net0",
        "smbios1": f"uuid=00000000-0000-4000-8000-{vmid:012d}",
        "meta": "creation-qemu=10.1.2,ctime=1760000000",
        "vmgenid": f"00000000-0000-4000-9000-{vmid:012d}",
    }


def _lxc(vmid: int) -> dict[str, str | int]:
    mac = _mac(vmid).split("=")[1].split(",")[0]
    return {
        "hostname": f"ct-{vmid}",
        "arch": "amd64",
        "ostype": "debian",
        "memory": 256 << vmid % 3,
        "swap": 256,
        "cores": 1 + vmid % 2,
        "rootfs": f"local-lvm:vm-{vmid}-disk-0,size=4G",
        "net0": f"name=eth0,bridge=vmbr0,hwaddr={mac},ip=dhcp,type=veth",
        "unprivileged": 1,
    }
