"""The volumes of all storages: found by node and id, allocated with the first free number, freed."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from app.lab import clock, faults, locks
from app.lab.call import Refused, TaskFailed
from app.lab.state import Storage, Volume, World
from app.lab.storage import access, names

EXTENT = 4 << 20
"""LVM allocates whole extents of 4 MiB."""


@asynccontextmanager
async def lock(world: World, storage: Storage, node: str, seconds: float = 10) -> AsyncIterator[None]:
    """The lock under which volumes of a storage come and go; cluster-wide for shared ones."""
    name = f"storage:{storage.id}" if access.is_shared(storage) else f"storage:{storage.id}@{node}"
    async with locks.take(world, name, seconds):
        yield


def _key(storage: Storage, node: str, volid: str) -> str:
    return f"{'' if access.is_shared(storage) else node}/{volid}"


def _storage(world: World, volid: str) -> Storage | None:
    parts = names.split(volid)
    return world.storages.get(parts[0]) if parts else None


def find(world: World, node: str, volid: str) -> Volume | None:
    """The volume as the node sees it."""
    storage = _storage(world, volid)
    return world.volumes.get(_key(storage, node, volid)) if storage else None


def on_storage(world: World, node: str, storage: str) -> Iterator[Volume]:
    """The volumes of a storage that the node sees."""
    for volume in world.volumes.values():
        if volume.storage == storage and volume.node in (None, node):
            yield volume


def add(world: World, volume: Volume) -> Volume:
    """Put a volume where its id says; an older one of that id is replaced."""
    storage = world.storages[volume.storage]
    volume.node = None if access.is_shared(storage) else volume.node
    world.volumes[_key(storage, volume.node or "", volume.volid)] = volume
    return volume


def remove(world: World, node: str, volid: str) -> Volume | None:
    """Free a volume; one that is not there is no error."""
    storage = _storage(world, volid)
    return world.volumes.pop(_key(storage, node, volid), None) if storage else None


def image_format(storage: Storage, wanted: str | None = None) -> str:
    """The format of a new image: what was asked, else qcow2 on file storages and raw elsewhere. Raises TaskFailed."""
    if storage.type in names.FILE_TYPES:
        return wanted or str(storage.options.get("format") or "raw")
    if wanted not in (None, "raw"):
        raise TaskFailed(f"unsupported format '{wanted}'")
    return "raw"


def _rounded(storage: Storage, size: int) -> int:
    return size if storage.type in names.FILE_TYPES else -(-size // EXTENT) * EXTENT


def make(
    world: World, node: str, storage: Storage, volname: str, size: int, *, used: int = 0, parent: str | None = None
) -> Volume:
    """A new volume of this name, size in bytes. Raises TaskFailed where the storage is full."""
    known = names.read(storage.type, volname)
    if faults.no_room(world, node, storage):
        raise TaskFailed(_full(storage, volname, known.content))
    return add(
        world,
        Volume(
            volid=f"{storage.id}:{volname}",
            storage=storage.id,
            node=node,
            content=known.content,
            format=known.format,
            size=_rounded(storage, size),
            vmid=known.vmid,
            ctime=int(clock.now(world)),
            used=used,
            parent=parent,
        ),
    )


def _full(storage: Storage, volname: str, content: str) -> str:
    """What LVM, qemu-img and cp say to a full storage; not measured, but by their sources."""
    if storage.type not in names.FILE_TYPES:
        group, pool = storage.options.get("vgname", "pve"), storage.options.get("thinpool", "data")
        reason = f"Cannot create new thin volume, free space in thin pool {group}/{pool} reached threshold."
        return f"lvcreate '{group}/{volname}' error:   {reason}"
    path = names.path_of(storage.type, storage.options, volname)
    if content in ("images", "rootdir"):
        return f"unable to create image: qemu-img: {path}: Could not resize file: No space left on device"
    return f"import failed: cp: error writing '{path}': No space left on device"


def free_number(world: World, node: str, storage: Storage, vmid: int) -> int:
    """The first N for which no `...-VMID-disk-N` is on the storage."""
    taken = set()
    for volume in world.volumes.values():
        if volume.vmid == vmid and volume.storage == storage.id and volume.node in (None, node):
            tail = volume.volid.rpartition(f"-{vmid}-disk-")[2].partition(".")[0]
            taken.add(tail)
    return next(number for number in range(10_000) if str(number) not in taken)


def new_disk(
    world: World, node: str, storage: Storage, vmid: int, size: int, *, wanted: str | None = None, used: int = 0
) -> Volume:
    """A new disk of a guest, size in bytes. Raises TaskFailed for a format that the storage has not."""
    chosen = image_format(storage, wanted)
    name = names.disk_name(storage.type, vmid, free_number(world, node, storage, vmid), chosen)
    return make(world, node, storage, name, size, used=used)


def rename(world: World, node: str, volume: Volume, volname: str) -> Volume:
    """The same volume under another name, as templates and reassigned disks get."""
    remove(world, node, volume.volid)
    known = names.read(world.storages[volume.storage].type, volname)
    volume.volid, volume.vmid, volume.format = f"{volume.storage}:{volname}", known.vmid, known.format
    return add(world, volume)


def free_all(world: World, node: str, vmid: int) -> None:
    """Free every image of a guest that the node sees, named by a configuration or not."""
    for volume in [v for v in world.volumes.values() if v.vmid == vmid and v.content == "images"]:
        if volume.node in (None, node):
            remove(world, node, volume.volid)


def has_snapshots(storage: Storage, image: str) -> bool:
    """Whether images of this format on this storage take snapshots."""
    return storage.type in names.THIN_TYPES or image == "qcow2"


def figures(world: World, node: str, storage: Storage) -> tuple[int, int]:
    """(total, used) bytes of a storage as the node sees it."""
    if faults.looks_full(world, node, storage.id):
        return storage.total, storage.total
    used = sum(
        [v.used for v in world.volumes.values() if v.used > 0 and v.storage == storage.id and v.node in (None, node)]
    )
    return storage.total, min(storage.total, used + storage.total // 50)


def require_there(world: World, node: str, volid: str) -> Volume:
    """The volume, or a failed task in the words of its storage's type."""
    found = find(world, node, volid)
    if found is not None:
        return found
    parts, storage = names.split(volid), _storage(world, volid)
    if parts and storage and storage.type not in names.FILE_TYPES:
        raise TaskFailed(f"no such logical volume {storage.options.get('vgname', 'pve')}/{parts[1]}")
    quoted = f"'{volid}'" if parts else volid
    raise TaskFailed(f"volume {quoted} does not exist")


def refuse_unreadable(storage: Storage, volname: str) -> names.VolumeName:
    """What the name says, or 500 in PVE's words."""
    try:
        return names.read(storage.type, volname)
    except names.UnreadableName as error:
        raise Refused(500, str(error)) from None
