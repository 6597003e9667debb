"""Values of a VM's options as PVE stores them."""

import re
import urllib.parse
import uuid
from typing import Any

from app.lab.call import Refused
from app.lab.guests import drives, keys, options, properties

Values = dict[str, str | int]

_QEMU_VERSION = "10.1"
MOST_CPU_UNITS = 10_000
"""What cgroups of version 2 can weigh."""


def with_cdrom(given: Values) -> Values:
    """`cdrom` is another name of ide2."""
    if "cdrom" not in given:
        return given
    rest = {key: value for key, value in given.items() if key != "cdrom"}
    drive = properties.parse_drive(str(given["cdrom"])) | {"media": "cdrom"}
    return rest | {"ide2": properties.render_drive(drive)}


def require_one_cloudinit(given: Values, config: Values) -> None:
    """A VM has one cloud-init drive at most."""
    there = [key for key in drives.disk_keys("qemu", config) if _is_cloudinit(config[key])]
    for key in drives.disk_keys("qemu", given):
        if _is_cloudinit(given[key]):
            others = [other for other in there if other != key]
            if others:
                raise Refused(500, f"{key} - cloud-init drive is already attached at '{others[0]}'")
            there.append(key)


def _is_cloudinit(value: str | int) -> bool:
    return drives.is_cloudinit(properties.parse_drive(str(value)))


def pinned(system: str | int | None, machine: str | int | None) -> str | None:
    """The machine that PVE pins for Windows, which would notice another one; None where nothing is to be pinned."""
    parts = properties.parse(str(machine or ""), "type")
    family = {"": "pc-i440fx", "pc": "pc-i440fx", "q35": "pc-q35"}.get(parts.get("type", ""))
    if family is None or not str(system).startswith("w"):
        return None
    return properties.render(parts | {"type": f"{family}-{_QEMU_VERSION}"}, "type")


def stored(key: str, value: Any, mac_prefix: str = "BC:24:11") -> str | int:
    """One option as the file keeps it: cards with an address, numbers as text."""
    if options.family(key) == "net" and key != "net":
        return properties.with_mac(str(value), mac_prefix)
    if key == "sshkeys":
        keys.require(urllib.parse.unquote(str(value)))
    if key == "tags":
        return ";".join(dict.fromkeys(re.split(r"[,; ]+", str(value)))) or " "
    if key == "cpuunits":
        return min(int(value), MOST_CPU_UNITS)
    if key == "vmgenid" and value == "1":
        return str(uuid.uuid4())
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, int) else str(value)
