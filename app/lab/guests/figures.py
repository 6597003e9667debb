"""A guest's figures: what lists and `status/current` say of it. Bytes, seconds, shares of one.

The lab runs no guest, so the load of a running one is made up, steady for its id and its time.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

from app.lab import clock
from app.lab.guests import drives, properties, sizes
from app.lab.state import Guest, World

MIB = 1 << 20
PRESSURES = tuple(f"pressure{what}{kind}" for what in ("cpu", "io", "memory") for kind in ("some", "full"))


def host_cpus(world: World, node: str) -> int:
    return world.nodes[node].cpus


@functools.lru_cache(4096)
def _mebibytes(written: str) -> int:
    return int(properties.parse(written, "current")["current"])


def memory(guest: Guest) -> int:
    """The memory that the guest may use, in bytes; 512 MiB where nothing is set."""
    written = guest.config.get("memory", 512)
    return (written if type(written) is int else _mebibytes(str(written))) * MIB


def cpus(world: World, guest: Guest) -> int | float | str:
    """CPUs of the guest, at most those of its node. A container's limit shows as the text it was given."""
    most = host_cpus(world, guest.node)
    if guest.kind == "lxc":
        if "cores" in guest.config:
            return min(int(guest.config["cores"]), most)
        limit = guest.config.get("cpulimit")
        return limit if limit and float(limit) < most and float(limit) > 0 else most
    if "vcpus" in guest.config:
        return min(int(guest.config["vcpus"]), most)
    return min(int(guest.config.get("cores", 1)) * int(guest.config.get("sockets", 1)), most)


@functools.lru_cache(1024)
def _bootable(boot: str) -> tuple[str, ...]:
    """The drives of a boot order."""
    return tuple(device for device in boot.removeprefix("order=").split(";") if drives.is_drive(device))


@functools.lru_cache(65_536)
def _written_size(kind: str, value: str) -> int:
    """The size that a disk's value tells; -1 for CD drives."""
    disk = drives.parse_disk(kind, value)
    if kind == "qemu" and properties.is_cdrom(disk):
        return -1
    return sizes.size_of(disk.get("size", "0")) or 0


def disk_size(guest: Guest) -> int:
    """The size of the root file system or of the disk that boots, in bytes; 0 where there is none."""
    config = guest.config
    if guest.kind == "lxc":
        return _written_size("lxc", str(config.get("rootfs", "")))
    boot = str(config.get("boot", ""))
    if not boot.startswith("order="):
        first = None if "boot" in config else drives.first_disk(config, cdrom=False)
        return _written_size("qemu", str(config[first])) if first else 0
    for device in _bootable(boot):
        if device in config and (size := _written_size("qemu", str(config[device]))) >= 0:
            return size
    return 0


def name(guest: Guest) -> str:
    if guest.kind == "lxc":
        return str(guest.config.get("hostname") or f"CT{guest.vmid}")
    return str(guest.config.get("name") or f"VM {guest.vmid}")


def uptime(world: World, guest: Guest) -> int:
    return _uptime(guest, clock.now(world))


def _uptime(guest: Guest, moment: float) -> int:
    if guest.status != "running" or guest.started_at is None:
        return 0
    up = int(moment - guest.started_at)
    return up if up > 0 else 0


def pid(guest: Guest) -> int:
    """A process number, steady while the guest runs."""
    return 10_000 + guest.vmid % 20_000


_OVERHEAD, _READ_TO_BOOT, _WRITTEN_TO_BOOT = 48 * MIB, 24 * MIB, 6 * MIB
_IDLE: dict[str, int | float] = {
    "cpu": 0, "mem": 0, "memhost": 0, "netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0
}  # fmt: skip


def load(world: World, guest: Guest) -> dict[str, int | float]:
    """cpu (share), mem, memhost, disk and network counters of now; zeros where the guest is stopped."""
    return _load(guest, memory(guest), uptime(world, guest))


def _load(guest: Guest, most: int, up: int) -> dict[str, int | float]:
    if guest.status != "running":
        return _IDLE
    seed = guest.vmid % 97
    used = most * (20 + seed % 50) // 100
    return {
        "cpu": 0.0 if guest.paused else (100 + seed % 23 * 50 + up % 7 * 20) / 10_000,
        "mem": used,
        "memhost": used + _OVERHEAD,
        "netin": up * (900 + seed),
        "netout": up * (400 + seed),
        "diskread": _READ_TO_BOOT + up * 512,
        "diskwrite": _WRITTEN_TO_BOOT + up * 1024,
    }


def _disk_used(guest: Guest, size: int) -> int:
    return size * 3 // 10 if guest.kind == "lxc" and guest.status == "running" else 0


def _tail(world: World, guest: Guest) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if guest.config.get("template"):
        out["template"] = 1
    if str(guest.config.get("tags", "")).strip():
        out["tags"] = ";".join(sorted(t for t in re.split(r"[,; ]+", str(guest.config["tags"])) if t))
    if guest.config.get("lock"):
        out["lock"] = guest.config["lock"]
    if guest.status == "running":
        out |= {"pid": pid(guest)} | dict.fromkeys(PRESSURES, 0)
    return out


def row(world: World, guest: Guest) -> dict[str, Any]:
    """The guest in the list of its node."""
    most, size, up = memory(guest), disk_size(guest), uptime(world, guest)
    now = _load(guest, most, up)
    out: dict[str, Any] = {
        "vmid": guest.vmid,
        "name": name(guest),
        "status": guest.status,
        "cpus": cpus(world, guest),
        "cpu": now["cpu"],
        "maxmem": most,
        "mem": now["mem"],
        "maxdisk": size,
        "disk": _disk_used(guest, size),
        "uptime": up,
        "netin": now["netin"],
        "netout": now["netout"],
    }
    if guest.kind == "lxc":
        out |= {"type": "lxc", "maxswap": int(guest.config.get("swap", 512)) * MIB, "swap": 0}
        out |= {"diskread": now["diskread"], "diskwrite": now["diskwrite"]}
    else:
        out["memhost"] = now["memhost"]
    return out | _tail(world, guest)


@dataclass(frozen=True, slots=True)
class _Size:
    """What a configuration gives a guest, for as long as the configuration stays as it was."""

    kind: str
    config: dict[str, str | int]
    host_cpus: int
    name: str
    cpus: int | float | str
    memory: int
    disk: int


_sizes: dict[int, _Size] = {}
"""By vmid: lists of thousands of guests would read every configuration again each time."""


def _size(world: World, guest: Guest) -> _Size:
    known, most = _sizes.get(guest.vmid), world.nodes[guest.node].cpus
    if known is not None and known.host_cpus == most and known.kind == guest.kind and known.config == guest.config:
        return known
    size = _Size(guest.kind, dict(guest.config), most, name(guest), cpus(world, guest), memory(guest), disk_size(guest))
    _sizes[guest.vmid] = size
    return size


def resource(world: World, guest: Guest) -> dict[str, Any]:
    """The guest's figures as `cluster/resources` and pools tell them, without pool and lock."""
    return resource_at(clock.now(world), world, guest)


def resource_at(moment: float, world: World, guest: Guest) -> dict[str, Any]:
    """`resource` for lists: all of one moment; nothing is known of a guest whose node is off."""
    if not world.nodes[guest.node].online:
        known = {"type": guest.kind, "vmid": guest.vmid, "node": guest.node, "status": "unknown"}
        return {"id": f"{guest.kind}/{guest.vmid}", **known}
    size, up = _size(world, guest), _uptime(guest, moment)
    return {
        "id": f"{guest.kind}/{guest.vmid}",
        "type": guest.kind,
        "vmid": guest.vmid,
        "node": guest.node,
        "name": size.name,
        "status": guest.status,
        "template": 1 if guest.config.get("template") else 0,
        "maxcpu": size.cpus,
        "maxmem": size.memory,
        "maxdisk": size.disk,
        "disk": _disk_used(guest, size.disk),
        "uptime": up,
        **_load(guest, size.memory, up),
    }


def current(world: World, guest: Guest) -> dict[str, Any]:
    """`GET status/current`."""
    out = row(world, guest) | {"ha": {"managed": 0}}
    if guest.kind == "lxc":
        return out
    out["qmpstatus"] = "paused" if guest.paused else guest.status
    if properties.parse(str(guest.config.get("agent", "0")), "enabled").get("enabled") == "1":
        out["agent"] = 1
    if str(guest.config.get("vga", "")).startswith("qxl"):
        out["spice"] = 1
    if "balloon" in guest.config and int(guest.config["balloon"]) > 0:
        out |= {"balloon_min": int(guest.config["balloon"]) * MIB, "shares": int(guest.config.get("shares", 1000))}
    return out | (_running(world, guest) if guest.status == "running" else {})


def _running(world: World, guest: Guest) -> dict[str, Any]:
    most, now = memory(guest), load(world, guest)
    balloon = int(guest.config.get("balloon", 0)) * MIB or most
    return {
        "balloon": balloon,
        "diskread": now["diskread"],
        "diskwrite": now["diskwrite"],
        "ballooninfo": {"actual": balloon, "max_mem": most},
        "blockstat": {key: {"rd_bytes": 0, "wr_bytes": 0} for key in drives.disk_keys("qemu", guest.config)},
        "proxmox-support": {"pbs-dirty-bitmap": True, "query-bitmap-info": True},
        "running-machine": "pc-i440fx-10.1+pve0",
        "running-qemu": "10.1.2",
    }
