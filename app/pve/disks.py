"""Disks as a guest's configuration names them: read, and written for new ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.domain.errors import Conflict
from app.domain.guests import GuestKind
from app.domain.identifiers import DiskName, StorageId

_SIZE = re.compile(r"(?:^|,)size=(\d+(?:\.\d+)?)([KMGT]?)", re.ASCII)
_PATH = re.compile(r"(?:^|,)mp=([^,]+)", re.ASCII)
_NEW = re.compile(r"[^:,]+:(\d+)(?:,|$)", re.ASCII)
_UNUSED = re.compile(r"unused\d+", re.ASCII)
_GIB = {"": 1 / 2**30, "K": 1 / 2**20, "M": 1 / 2**10, "G": 1, "T": 2**10}
#: PVE 9.1: scsi0..30, mp0..255.
_SLOTS = {GuestKind.VM: ("scsi", 31), GuestKind.CT: ("mp", 256)}


@dataclass(frozen=True)
class Disk:
    """`name` as in "scsi0" or "rootfs"; `size_gb` whole GiB, rounded down; `path` where a container mounts it."""

    name: str
    volume: str
    size_gb: int
    path: str | None

    @property
    def storage(self) -> StorageId:
        return StorageId.parse(self.volume.partition(":")[0])


def disks_of(values: Mapping[str, str]) -> Iterator[Disk]:
    """Those with data of the guest: no CD, no cloud-init drive, nothing unused, no folder of the node."""
    for key, value in sorted(values.items()):
        if DiskName.form.fullmatch(key) and not re.search(r"media=cdrom|cloudinit|^none(,|$)|^/", value):
            yield _disk(key, value)


def unused(values: Mapping[str, str]) -> Mapping[str, str]:
    """Option -> volume of what was detached and is there still."""
    return {key: value.partition(",")[0] for key, value in values.items() if _UNUSED.fullmatch(key)}


def free_name(values: Mapping[str, str], kind: GuestKind) -> DiskName:
    """The first that can be given to one more disk. Raises Conflict where there is none."""
    bus, count = _SLOTS[kind]
    for number in range(count):
        if f"{bus}{number}" not in values:
            return DiskName(f"{bus}{number}")
    raise Conflict("The guest has as many disks as Proxmox VE allows.", code="disk.too_many")


def new_disk(storage: StorageId, size_gb: int, path: str | None) -> str:
    """The value of a disk that PVE makes. A container's is part of its backups, as a VM's is without being told."""
    made = f"{StorageId.parse(storage)}:{int(size_gb)}"
    return made if path is None else f"{made},mp={path},backup=1"


def _disk(key: str, value: str) -> Disk:
    size, new, path = _SIZE.search(value), _NEW.match(value), _PATH.search(value)
    # one that waits for the guest's next start is told as it was asked for
    gib = float(size.group(1)) * _GIB[size.group(2)] if size else float(new.group(1)) if new else 0
    return Disk(key, value.partition(",")[0], int(gib), "/" if key == "rootfs" else path.group(1) if path else None)
