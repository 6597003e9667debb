"""`POST move_disk` and `move_volume`: a disk goes to another storage, or to another guest."""

from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import config, disks, drives, lookup, lxc_options, properties
from app.lab.state import Guest
from app.lab.storage import access, names, volumes
from app.lab.tasks import Task

_NEITHER = "both 'storage' and 'target-vmid' missing, either needs to be set"
_BOTH = "either set 'storage' or 'target-vmid', but not both"
_SETTINGS = {"qemu": ("qmmove", "disk", "images"), "lxc": ("move_volume", "volume", "rootdir")}


def _volume(guest: Guest, key: str) -> str:
    """The volume behind the key, which is there. Raises Refused 500."""
    word = _SETTINGS[guest.kind][1]
    volid = drives.volume_of(guest.kind, key, guest.config[key])
    if guest.kind == "qemu" and not drives.is_unused(key):
        drive = properties.parse_drive(str(guest.config[key]))
        if volid is None or (properties.is_cdrom(drive) and not drives.is_cloudinit(drive)):
            raise Refused(500, "you can't move a cdrom")
    if volid is None:
        raise Refused(500, f"{word} '{key}' has no associated volume")
    return volid


def _require_digest(guest: Guest, given: str | None, prefix: str = "") -> None:
    """PVE compares digests here in the words that it has for other files."""
    if given and given != config.digest(guest):
        raise Refused(500, prefix + config.stale_text("lxc"))


def _require_no_snapshot(call: Call, guest: Guest, volid: str) -> None:
    if call.params.get("delete") and disks.in_snapshot(guest, volid):
        word = _SETTINGS[guest.kind][1]
        raise Refused(500, f"you can't move a {word} with snapshots and delete the source")


def _require_movable_disk(call: Call, guest: Guest, key: str, target: str) -> str:
    _require_digest(guest, call.params.get("digest"))
    if key not in guest.config:
        raise Refused(500, f"disk '{key}' does not exist")
    volid = _volume(guest, key)
    old, known = access.read_volume(call.world, volid)
    if old.id == target and call.params.get("format") in (None, known.format):
        raise Refused(500, "you can't move to the same storage with same format")
    access.enabled(call.world, target, call.node)
    access.require_content(call.world, target, "images", f"storage '{target}' does not support vm images")
    _require_no_snapshot(call, guest, volid)
    return volid


def _require_movable_mount(call: Call, guest: Guest, key: str) -> str:
    if guest.status == "running":
        raise Refused(500, "cannot move volumes of a running container")
    if drives.is_unused(key):
        raise Refused(500, f"cannot move volume '{key}', only configured volumes can be moved to another storage")
    lxc_options.require_mount(guest, key)
    volid = _volume(guest, key)
    _require_no_snapshot(call, guest, volid)
    _require_digest(guest, call.params.get("digest"))
    return volid


def _to_storage(call: Call, guest: Guest, key: str) -> str:
    kind, target = guest.kind, call.params["storage"]
    lookup.require_unlocked(guest)
    if kind == "qemu":
        volid = _require_movable_disk(call, guest, key, target)
    else:
        volid = _require_movable_mount(call, guest, key)

    async def work(task: Task) -> None:
        async with locks.guest(call.world, kind, guest.vmid):
            found = lookup.in_task(call.world, kind, call.node, guest.vmid)
            lookup.unlocked_in_task(found)
            lookup.require_writable(call.world, found)
            await _copy(call, task, found, key, volid)

    return call.start_task(_SETTINGS[kind][0], str(guest.vmid), work)


async def _copy(call: Call, task: Task, guest: Guest, key: str, volid: str) -> None:
    world, node = call.world, call.node
    source = volumes.require_there(world, node, volid)
    storage = access.in_task(world, call.params["storage"], node)
    if _SETTINGS[guest.kind][2] not in access.contents(storage):
        content = _SETTINGS[guest.kind][2]
        raise TaskFailed(f"content type '{content}' is not available or configured on storage '{storage.id}'")
    wanted = call.params.get("format") if storage.type in names.FILE_TYPES else None
    async with volumes.lock(world, storage, node):
        new = volumes.new_disk(world, node, storage, guest.vmid, source.size, wanted=wanted, used=source.used)
    try:
        await task.sleep(3)
    except TaskFailed:
        disks.free_made(world, node, [new.volid])
        raise
    if drives.is_unused(key):
        guest.config[key] = new.volid
    else:
        disk = drives.parse_disk(guest.kind, str(guest.config[key])) | {"file": new.volid}
        guest.config[key] = drives.render_disk(guest.kind, disk)
    if call.params.get("delete"):
        disks.free(world, guest, volid)
    else:
        guest.config[drives.free_unused(guest.config)] = volid


_REASSIGNED = {
    "qemu": (
        "Both VMs need",
        "Can't move disks from or to template VMs",
        "Can't move disk used by a snapshot to another VM",
        "Cannot move disk to another VM while the source VM is running - detach first",
    ),
    "lxc": (
        "Both containers need",
        "Can't move volumes from or to template CT",
        "Cannot move volume used by a snapshot to another container",
        "Cannot move in-use volume while the source CT is running - detach or shutdown first",
    ),
}
_CALLED = {"qemu": ("VM", "Disk", "disk"), "lxc": ("container", "volume", "volume")}


def _require_keys(kind: str, key: str, target_key: str) -> None:
    """What no container gives away."""
    if kind == "lxc" and "rootfs" in (key, target_key):
        raise Refused(500, "Cannot move to/from 'rootfs'")
    if kind == "lxc" and drives.is_unused(key) and not drives.is_unused(target_key):
        raise Refused(500, "Moving an unused volume to a used one is not possible")


def _target(call: Call, guest: Guest) -> Guest:
    """The guest of the same node that is to get the disk, both unlocked and no templates."""
    kind, target_id = guest.kind, call.params["target-vmid"]
    other = call.world.guests.get(target_id)
    if other is None:
        raise Refused(500, f"could not find {'target VM' if kind == 'qemu' else 'CT'} {target_id}")
    if other.node != call.node:
        raise Refused(500, f"{_REASSIGNED[kind][0]} to be on the same node ({call.node} != {other.node})")
    lookup.require_unlocked(guest)
    if other.kind != kind:
        raise Refused(500, lookup.missing(kind, call.node, target_id))
    lookup.require_unlocked(other)
    if guest.config.get("template") or other.config.get("template"):
        raise Refused(500, _REASSIGNED[kind][1])
    return other


def _to_guest(call: Call, guest: Guest, key: str, target_key: str) -> str:
    """Hand a disk to another guest of the node: the volume is renamed, the key moves over."""
    kind, target_id = guest.kind, call.params["target-vmid"]
    call.require(f"/vms/{target_id}", "VM.Config.Disk")
    if target_id == guest.vmid and kind == "qemu":
        raise Refused.parameters({"target-vmid": "must be different than source VMID to reassign disk"})
    _require_keys(kind, key, target_key)
    target = _target(call, guest)
    who, word, small = _CALLED[kind]
    for one, given in ((guest, "digest"), (target, "target-digest")):
        _require_digest(one, call.params.get(given), f"{who[0].upper()}{who[1:]} {one.vmid}: ")
    if key not in guest.config:
        raise Refused(500, f"{word} '{key}' for {who} '{guest.vmid}' does not exist")
    if target_key in target.config:
        raise Refused(500, f"Target {small} key '{target_key}' is already in use for {who} '{target_id}'")
    if kind == "qemu" and properties.is_cdrom(properties.parse_drive(str(guest.config[key]))):
        raise Refused(500, "CD drive contents can't be moved to another VM")
    volid = _volume(guest, key)
    if disks.in_snapshot(guest, volid):
        raise Refused(500, _REASSIGNED[kind][2])
    if guest.status == "running" and not drives.is_unused(key):
        raise Refused(500, _REASSIGNED[kind][3])
    call.require(f"/storage/{volid.partition(':')[0]}", "Datastore.AllocateSpace")

    async def work(task: Task) -> None:
        lookup.require_writable(call.world, guest)
        volume = volumes.require_there(call.world, call.node, volid)
        storage = call.world.storages[volume.storage]
        await task.sleep(1)
        number = volumes.free_number(call.world, call.node, storage, target_id)
        volumes.rename(call.world, call.node, volume, names.disk_name(storage.type, target_id, number, volume.format))
        value = str(guest.config.pop(key))
        if "boot" in guest.config:
            guest.config["boot"] = drives.without_boot_device(str(guest.config["boot"]), key)
        disk = {"file": value} if drives.is_unused(key) else drives.parse_disk(kind, value)
        disk = disk | {"file": volume.volid}
        target.config[target_key] = volume.volid if drives.is_unused(target_key) else drives.render_disk(kind, disk)

    return call.start_task(_SETTINGS[kind][0], f"{guest.vmid}-{key}>{target_id}-{target_key}", work)


def _move(call: Call, kind: str, target_param: str) -> str:
    key, storage = call.params[_SETTINGS[kind][1]], call.params.get("storage")
    if call.params.get("target-vmid") is not None:
        if storage is not None and kind == "lxc":
            raise Refused(500, "either set storage or target-vmid, but not both")
        if storage is not None:
            raise Refused.parameters(dict.fromkeys(("storage", "target-vmid"), _BOTH))
        return _to_guest(call, lookup.guest_of(call, kind), key, call.params.get(target_param) or key)
    if storage is None:
        raise Refused.parameters(dict.fromkeys(("storage", "target-vmid"), _NEITHER))
    call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    return _to_storage(call, lookup.guest_of(call, kind), key)


@handler("POST", "/nodes/{node}/qemu/{vmid}/move_disk")
def move_disk(call: Call) -> Any:
    return _move(call, "qemu", "target-disk")


@handler("POST", "/nodes/{node}/lxc/{vmid}/move_volume")
def move_volume(call: Call) -> Any:
    return _move(call, "lxc", "target-volume")
