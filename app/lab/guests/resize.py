"""`PUT resize`: disks grow, never shrink."""

from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import config, drives, lookup, lxc_options, properties, rights, sizes
from app.lab.state import Guest
from app.lab.storage import access, volumes
from app.lab.tasks import Task


def target_size(size: int, asked: str) -> int:
    """The new size in bytes of `+1G` or `4G`."""
    grown = sizes.size_of(asked.lstrip("+")) or 0
    return size + grown if asked.startswith("+") else grown


async def _grow(call: Call, task: Task, guest: Guest, key: str, size: int) -> None:
    volid = drives.volume_of(guest.kind, key, guest.config[key]) or ""
    lookup.require_writable(call.world, guest)
    volume = volumes.require_there(call.world, call.node, volid)
    storage = access.in_task(call.world, volume.storage, call.node)
    async with volumes.lock(call.world, storage, call.node):
        await task.sleep(1)
        volume.size = size
    disk = drives.parse_disk(guest.kind, str(guest.config[key]))
    guest.config[key] = drives.render_disk(guest.kind, disk | {"size": sizes.written(size)})


def _require_disk(guest: Guest, key: str) -> None:
    """A VM's drive that can grow. Raises TaskFailed."""
    drive = properties.parse_drive(str(guest.config[key]))
    if drives.volume_of("qemu", key, guest.config[key]) is None:
        raise TaskFailed(f"unable to parse volume ID '{drive.get('file', '')}'")
    if properties.is_cdrom(drive):
        raise TaskFailed("you can't resize a cdrom")


def _size(call: Call, guest: Guest, key: str) -> int:
    """The present size of a disk, of its volume. Raises TaskFailed."""
    volid = drives.volume_of(guest.kind, key, guest.config[key])
    if volid is None:
        raise TaskFailed(f"can't resize a volume of type '{key}'")
    return volumes.require_there(call.world, call.node, volid).size


@handler("PUT", "/nodes/{node}/qemu/{vmid}/resize")
def resize_vm(call: Call) -> Any:
    skip = lookup.require_root_skiplock(call)
    vmid, key, asked = call.params["vmid"], call.params["disk"], call.params["size"]

    async def work(task: Task) -> None:
        async with locks.guest(call.world, "qemu", vmid):
            found = lookup.in_task(call.world, "qemu", call.node, vmid)
            if (given := call.params.get("digest")) and given != config.digest(found):
                raise TaskFailed(config.stale_text("qemu"))
            if not skip:
                lookup.unlocked_in_task(found)
            if key not in found.config:
                raise TaskFailed(f"disk '{key}' does not exist")
            _require_disk(found, key)
            _space_in_task(call, found, key)
            size = _size(call, found, key)
            wanted = target_size(size, asked)
            if wanted < size:
                raise TaskFailed("shrinking disks is not supported")
            if wanted > size:
                await _grow(call, task, found, key, wanted)

    return call.start_task("resize", str(vmid), work)


def _require_space(call: Call, guest: Guest, key: str) -> None:
    volid = drives.volume_of(guest.kind, key, guest.config[key]) if key in guest.config else None
    if volid:
        call.require(f"/storage/{volid.partition(':')[0]}", "Datastore.AllocateSpace")


def _space_in_task(call: Call, guest: Guest, key: str) -> None:
    """PVE looks at the storage's rights of a VM's disk only within the task."""
    try:
        _require_space(call, guest, key)
    except Refused as refusal:
        raise rights.as_failure(refusal) from None


@handler("PUT", "/nodes/{node}/lxc/{vmid}/resize")
def resize_ct(call: Call) -> Any:
    vmid, key, asked = call.params["vmid"], call.params["disk"], call.params["size"]
    guest = lookup.guest_of(call, "lxc")
    lookup.require_unlocked(guest)
    lookup.require_digest(call, guest)
    lxc_options.require_mount(guest, key)
    volid = drives.volume_of("lxc", key, guest.config[key])
    if volid is None:
        raise Refused(500, f"can't resize mount point owned by the host ('{key}')")
    _require_space(call, guest, key)
    volume = volumes.find(call.world, call.node, volid)
    if volume is None:
        raise Refused(500, f"volume '{volid}' does not exist")
    wanted = target_size(volume.size, asked)
    if wanted < volume.size:
        raise Refused(500, "unable to shrink disk size")
    if wanted == volume.size:
        raise Refused(500, "disk is already at specified size")

    async def work(task: Task) -> None:
        async with locks.guest(call.world, "lxc", vmid):
            found = lookup.in_task(call.world, "lxc", call.node, vmid)
            lookup.unlocked_in_task(found)
            await _grow(call, task, found, key, wanted)

    return call.start_task("resize", str(vmid), work)
