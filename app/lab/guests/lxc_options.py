"""Values of a container's options as PVE stores them."""

import re
from typing import Any

from app.lab.call import Refused
from app.lab.guests import options, properties, qemu_options, tags
from app.lab.state import Guest
from app.lab.storage.words import words

Values = dict[str, str | int]

_SYSTEMS = words("debian devuan ubuntu centos fedora opensuse archlinux alpine gentoo nixos")
_ALIASES = {"rockylinux": "centos", "almalinux": "centos", "arch": "archlinux"}


def system_of(archive: str) -> str:
    """The `ostype` that a template's name tells."""
    name = re.split(r"[/:]", archive)[-1].lower()
    for prefix, system in (*((system, system) for system in _SYSTEMS), *_ALIASES.items()):
        if name.startswith(prefix):
            return system
    return "unmanaged"


def stored(key: str, value: Any) -> str | int:
    """One option as the file keeps it: cards with type and address, tags once and by name, lists with blanks."""
    if options.family(key) == "net":
        return properties.lxc_net(str(value))
    if key == "tags":
        return tags.unique(str(value))
    if key in ("nameserver", "searchdomain"):
        return " ".join(re.split(r"[,; ]+", str(value)))
    if key == "cpuunits":
        return min(int(value), qemu_options.MOST_CPU_UNITS)
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, int) else str(value)


def defaults(vmid: int, given: dict[str, Any], archive: str) -> Values:
    """A new container's options: what was given over what PVE sets by itself."""
    base: Values = {
        "arch": "amd64",
        "hostname": f"CT{vmid}",
        "memory": 512,
        "swap": 512,
        "ostype": system_of(archive),
    }
    return base | {key: stored(key, value) for key, value in given.items() if key != "lock"}


def require_mount(guest: Guest, key: str) -> None:
    """A mount point that is not there reads as an empty property string. Raises Refused 500 with its faults."""
    if key not in guest.config:
        text = "property is missing and it is not optional"
        faults = dict.fromkeys(("volume",) if key == "rootfs" else ("mp", "volume"), text)
        raise Refused(500, "format error", faults)


def require_changeable(changes: dict[str, Any], delete: list[str]) -> None:
    """Options that only creation sets, and those that can not go. Raises Refused 500."""
    for key in (*changes, *delete):
        if key in options.READ_ONLY_LXC:
            verb = "modify" if key in changes else "delete"
            raise Refused(500, f"unable to {verb} read-only option: '{key}'")
    for key in delete:
        if key in ("memory", "rootfs", "ostype"):
            raise Refused(500, f"unable to delete required option '{key}'")
