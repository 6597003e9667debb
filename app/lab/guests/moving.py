"""`POST move_disk` and `move_volume`: a disk goes to another storage, or to another guest."""

from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import config, disks, drives, lookup, properties
from app.lab.state import Guest
from app.lab.storage import access, names, volumes
from app.lab.tasks import Task

_NEITHER = "both 'storage' and 'target-vmid' missing, either needs to be set"
_SETTINGS = {"qemu": ("qmmove", "disk", "images"), "lxc": ("move_volume", "volume", "rootdir")}


def _require_disk(guest: Guest, key: str) -> str:
    """The volume behind the key. Raises Refused 500."""
    word = _SETTINGS[guest.kind][1]
    if key not in guest.config:
        raise Refused(500, f"{word} '{key}' does not exist")
    volid = drives.volume_of(guest.kind, key, guest.config[key])
    if guest.kind == "qemu" and not drives.is_unused(key):
        drive = properties.parse_drive(str(guest.config[key]))
        if volid is None or (properties.is_cdrom(drive) and not drives.is_cloudinit(drive)):
            raise Refused(500, "you can't move a cdrom")
    if volid is None:
        raise Refused(500, f"{word} '{key}' has no associated volume")
    return volid


def _to_storage(call: Call, guest: Guest, key: str) -> str:
    kind, target = guest.kind, call.params["storage"]
    task_type, _word, content = _SETTINGS[kind]
    lookup.require_unlocked(guest)
    lookup.require_digest(call, guest)
    volid = _require_disk(guest, key)
    storage = access.enabled(call.world, target, call.node)
    if kind == "lxc":
        text = f"storage '{target}' does not support container directories"
        access.require_content(call.world, target, content, text)
        if guest.status == "running":
            raise Refused(500, "cannot move volumes of a running container")
    old, known = access.read_volume(call.world, volid)
    wanted = call.params.get("format")
    same_format = wanted in (None, known.format) or storage.type not in names.FILE_TYPES
    if kind == "qemu" and old.id == target and same_format:
        raise Refused(500, "you can't move to the same storage with same format")

    async def work(task: Task) -> None:
        async with locks.guest(call.world, kind, guest.vmid):
            found = lookup.in_task(call.world, kind, call.node, guest.vmid)
            lookup.unlocked_in_task(found)
            await _copy(call, task, found, key, volid)

    return call.start_task(task_type, str(guest.vmid), work)


async def _copy(call: Call, task: Task, guest: Guest, key: str, volid: str) -> None:
    world, node = call.world, call.node
    source = volumes.require_there(world, node, volid)
    storage = access.in_task(world, call.params["storage"], node)
    if _SETTINGS[guest.kind][2] not in access.contents(storage):
        raise TaskFailed(f"storage '{storage.id}' does not support content-type '{_SETTINGS[guest.kind][2]}'")
    wanted = call.params.get("format") if storage.type in names.FILE_TYPES else None
    async with disks.storage_lock(world, storage, node):
        new = volumes.new_disk(world, node, storage, guest.vmid, source.size, wanted=wanted, used=source.used)
    await task.sleep(3)
    if drives.is_unused(key):
        guest.config[key] = new.volid
    else:
        disk = drives.parse_disk(guest.kind, str(guest.config[key])) | {"file": new.volid}
        guest.config[key] = drives.render_disk(guest.kind, disk)
    if call.params.get("delete"):
        disks.free(world, guest, volid)
    else:
        guest.config[drives.free_unused(guest.config)] = volid


def _to_guest(call: Call, guest: Guest, key: str, target_key: str) -> str:
    """Hand a disk to another guest of the node: the volume is renamed, the key moves over."""
    kind, target_id = guest.kind, call.params["target-vmid"]
    word = _SETTINGS[kind][1].capitalize()
    if target_id == guest.vmid:
        text = f"must be different than source VMID to reassign {_SETTINGS[kind][1]}"
        raise Refused.parameters({"target-vmid": text})
    call.require(f"/vms/{target_id}", "VM.Config.Disk")
    target = lookup.find(call.world, kind, call.node, target_id)
    if target is None:
        other = "VM" if kind == "qemu" else "Container"
        raise Refused(500, f"{other} {target_id} needs to be on the same node as {guest.vmid}")
    for one in (guest, target):
        lookup.require_unlocked(one)
    lookup.require_digest(call, guest)
    if (given := call.params.get("target-digest")) and given != config.digest(target):
        raise Refused(500, config.stale_text(kind))
    if key not in guest.config:
        raise Refused(500, f"{word} '{key}' for VM '{guest.vmid}' does not exist")
    if target_key in target.config:
        raise Refused(500, f"Target {word.lower()} key '{target_key}' is already in use for VM '{target_id}'")
    volid = _require_disk(guest, key)

    async def work(task: Task) -> None:
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
    word = _SETTINGS[kind][1]
    key, storage = call.params[word], call.params.get("storage")
    if storage is not None:
        call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    guest = lookup.guest_of(call, kind)
    if call.params.get("target-vmid") is not None:
        if storage is not None:
            raise Refused.parameters({"storage": "either set 'storage' or 'target-vmid', but not both"})
        return _to_guest(call, guest, key, call.params.get(target_param) or key)
    if storage is None:
        raise Refused.parameters({"storage": _NEITHER, "target-vmid": _NEITHER})
    return _to_storage(call, guest, key)


@handler("POST", "/nodes/{node}/qemu/{vmid}/move_disk")
def move_disk(call: Call) -> Any:
    return _move(call, "qemu", "target-disk")


@handler("POST", "/nodes/{node}/lxc/{vmid}/move_volume")
def move_volume(call: Call) -> Any:
    return _move(call, "lxc", "target-volume")
