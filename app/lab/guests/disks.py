"""Disks of guests: allocated as a configuration asks, detached, freed."""

from collections.abc import Iterable

from app.lab.call import TaskFailed
from app.lab.guests import drives, properties, sizes
from app.lab.state import Guest, Volume, World
from app.lab.storage import access, names, volumes

GIB = 1 << 30
_SMALL = {"efidisk0": 4 << 20, "tpmstate0": 4 << 20}
"""Disks whose size PVE chooses, whatever is asked for."""
CLOUDINIT_SIZE = 4 << 20


async def settle(
    world: World, node: str, kind: str, vmid: int, key: str, value: str, default_storage: str | None = None
) -> str:
    """The final value of a disk key: new volumes allocated, the size of existing ones written in. Raises TaskFailed."""
    disk = drives.parse_disk(kind, value)
    volume = disk.get("file", "")
    if kind == "qemu" and drives.is_cloudinit(disk) and volume.endswith(":cloudinit"):
        return await _cloudinit(world, node, vmid, disk)
    if kind == "qemu" and volume in ("none", "cdrom"):
        return drives.render_disk(kind, disk | {"media": "cdrom"})
    wanted = properties.new_volume(volume)
    if wanted and not (kind == "qemu" and properties.is_cdrom(disk)):
        made = await _allocate(world, node, kind, vmid, key, disk, wanted[0] or default_storage or "", wanted[1])
    elif volume.startswith("/"):
        return _host_path(kind, key, value, volume)
    else:
        made = volumes.require_there(world, node, volume)
    disk = {name: text for name, text in disk.items() if name not in ("format", "import-from")}
    return drives.render_disk(kind, disk | {"file": made.volid, "size": sizes.written(made.size)})


def _host_path(kind: str, key: str, value: str, path: str) -> str:
    """Paths of the host: bind mounts are kept, block devices are not there in a lab."""
    if kind == "qemu":
        raise TaskFailed(f"volume {path} does not exist")
    return properties.render_mount(properties.parse_mount(value)) if key != "rootfs" else value


async def _cloudinit(world: World, node: str, vmid: int, drive: dict[str, str]) -> str:
    storage = access.in_task(world, drive["file"].partition(":")[0], node)
    image = volumes.image_format(storage, "qcow2" if storage.type in names.FILE_TYPES else None)
    suffix = f".{image}" if storage.type in names.FILE_TYPES else ""
    volname = names.image_name(storage.type, vmid, f"vm-{vmid}-cloudinit{suffix}")
    async with volumes.lock(world, storage, node):
        made = volumes.find(world, node, f"{storage.id}:{volname}")
        made = made or volumes.make(world, node, storage, volname, CLOUDINIT_SIZE, used=CLOUDINIT_SIZE)
    rest = {name: text for name, text in drive.items() if name not in ("format", "size")}
    return properties.render_drive(rest | {"file": made.volid, "media": "cdrom"})


async def _allocate(
    world: World, node: str, kind: str, vmid: int, key: str, disk: dict[str, str], storage_id: str, gib: float
) -> Volume:
    storage = access.in_task(world, storage_id, node)
    size, used = int(gib * GIB), 0
    if source := disk.get("import-from"):
        found = volumes.require_there(world, node, source)
        size, used = found.disk or found.size, found.used
    size = _SMALL.get(key, size) if kind == "qemu" else size
    async with volumes.lock(world, storage, node):
        return volumes.new_disk(world, node, storage, vmid, size, wanted=disk.get("format"), used=used)


def in_snapshot(guest: Guest, volid: str) -> bool:
    """Whether a snapshot of the guest names the volume."""
    return any(
        volid == named for snap in guest.snapshots.values() for _key, named in drives.volumes(guest.kind, snap.config)
    )


def in_use(guest: Guest, volid: str, but: str) -> bool:
    """Whether another key of the guest, or a snapshot, names the volume."""
    named = any(volid == other for key, other in drives.volumes(guest.kind, guest.config) if key != but)
    return named or in_snapshot(guest, volid)


def free(world: World, guest: Guest, volid: str) -> None:
    """Free a volume of the guest, unless it is another's or a snapshot still needs it."""
    volume = volumes.find(world, guest.node, volid)
    if volume and volume.vmid == guest.vmid and not in_snapshot(guest, volid):
        volumes.remove(world, guest.node, volid)


def free_made(world: World, node: str, made: Iterable[str]) -> None:
    """Undo allocations of a task that failed."""
    for volid in made:
        volumes.remove(world, node, volid)


def detach(world: World, guest: Guest, key: str, *, force: bool = False) -> None:
    """Take a disk out of the configuration: the guest's own volume becomes unusedN, or is freed with force.

    Cloud-init drives are freed at once; isos and other guests' volumes are only let go.
    """
    value = str(guest.config.pop(key))
    if "boot" in guest.config:
        guest.config["boot"] = drives.without_boot_device(str(guest.config["boot"]), key)
    disk, volid = drives.parse_disk(guest.kind, value), drives.volume_of(guest.kind, key, value)
    if volid is None:
        return
    volume = volumes.find(world, guest.node, volid)
    owned = volume is not None and volume.content == "images" and volume.vmid == guest.vmid
    if not owned:
        return
    if force or (guest.kind == "qemu" and drives.is_cloudinit(disk)):
        free(world, guest, volid)
    elif all(volid != other for _key, other in drives.volumes(guest.kind, guest.config)):
        guest.config[drives.free_unused(guest.config)] = volid


def attach(world: World, guest: Guest, key: str, value: str) -> None:
    """Put a settled disk into the configuration; what was there before is detached, an unusedN of it disappears."""
    volid = drives.volume_of(guest.kind, key, value)
    old = guest.config.get(key)
    if old is not None and drives.volume_of(guest.kind, key, old) != volid:
        boot = guest.config.get("boot")
        detach(world, guest, key)
        if boot is not None:
            guest.config["boot"] = boot
    for name in [name for name in guest.config if drives.is_unused(name) and guest.config[name] == volid]:
        del guest.config[name]
    guest.config[key] = value


def to_base(world: World, node: str, kind: str, config: dict[str, str | int], only: str | None = None) -> None:
    """Turn the disks of a template, or one of them, into base images: `vm-106-disk-0` becomes `base-106-disk-0`."""
    for key in drives.disk_keys(kind, config):
        disk, volid = drives.parse_disk(kind, str(config[key])), drives.volume_of(kind, key, config[key])
        volume = volumes.find(world, node, volid) if volid else None
        if volume is None or volume.content != "images" or drives.is_cloudinit(disk) or only not in (None, key):
            continue
        head, _, name = volume.volid.partition(":")[2].rpartition("/")
        base = name.replace("vm-", "base-", 1)
        volumes.rename(world, node, volume, f"{head}/{base}" if head else base)
        config[key] = drives.render_disk(kind, disk | {"file": volume.volid})
