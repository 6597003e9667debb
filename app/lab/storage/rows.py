"""Volumes as rows of a content list, and the moments of a graph."""

from typing import Any

from app.lab import clock
from app.lab.state import Volume, World
from app.lab.storage import names

_STEP = {"hour": 60, "day": 1800, "week": 10_800, "month": 43_200, "year": 604_800}
_COUNT = 60


def moments(world: World, timeframe: str) -> list[int]:
    """The times of the rows of rrddata, oldest first, in seconds: 60 rows, whatever the timeframe."""
    step = _STEP.get(timeframe, 60)
    last = int(clock.now(world)) // step * step
    return [last - step * back for back in range(_COUNT - 1, -1, -1)]


def backup_kind(volid: str) -> str:
    """qemu or lxc, of a backup's name."""
    return "lxc" if "/vzdump-lxc-" in volid else "qemu"


def content_row(world: World, volume: Volume) -> dict[str, Any]:
    """One row of `GET content`. Numbers are numbers, but for the ctime of block volumes (facts.md section 2)."""
    storage = world.storages[volume.storage]
    files = storage.type in names.FILE_TYPES
    row: dict[str, Any] = {
        "volid": volume.volid,
        "content": volume.content,
        "format": volume.format,
        "size": volume.size,
        "ctime": volume.ctime if files else str(volume.ctime),
    }
    if volume.vmid is not None:
        row["vmid"] = volume.vmid
    if volume.content == "images":
        guest = world.guests.get(volume.vmid or 0)
        row["content"] = "rootdir" if guest and guest.kind == "lxc" else "images"
        if files:
            row |= {"used": volume.used, "parent": volume.parent}
        elif volume.parent:
            row["parent"] = volume.parent
    if volume.content == "backup":
        row["subtype"] = backup_kind(volume.volid)
        row |= {"notes": volume.notes} if volume.notes else {}
        row |= {"protected": 1} if volume.protected else {}
    return row
