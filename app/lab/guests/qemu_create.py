"""`POST /nodes/{node}/qemu`: a new VM, or one restored of a backup."""

import uuid
from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import creation, disks, drives, lookup, power, properties, qemu_options, restore, rights, tags
from app.lab.storage import access, volumes
from app.lab.storage.words import words
from app.lab.tasks import Task

Values = dict[str, str | int]

_NOT_CONFIG = frozenset(
    words("node vmid storage pool archive force start unique bwlimit live-restore ha-managed import-working-storage")
)


@handler("POST", "/nodes/{node}/qemu")
def create(call: Call) -> Any:
    creation.require_quorum(call)
    params, vmid, archive = call.params, call.params["vmid"], call.params.get("archive")
    pool, storage = params.get("pool"), params.get("storage")
    rights.require_pool(call, pool)
    if storage is not None:
        call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    existing = lookup.find(call.world, "qemu", call.node, vmid)
    replaces = bool(archive and params.get("force") and existing)
    if not rights.may_take_id(call, vmid, pool) and not (replaces and call.has(f"/vms/{vmid}", "VM.Backup")):
        raise rights.forbidden()
    given: Values = {key: value for key, value in params.items() if key not in _NOT_CONFIG}
    if archive:
        _require_archive(call, vmid, archive, given)
    given = _judged(call, vmid, pool, storage, given)
    verb = "restore" if archive else "create"
    if not replaces and (text := lookup.taken(call.world, vmid)):
        raise Refused(500, f"unable to {verb} VM {vmid} - {text}")
    if replaces and existing and existing.config.get("protection"):
        raise Refused(500, f"unable to restore VM {vmid} - can't overwrite VM {vmid} - protection mode enabled")
    if not existing or not replaces:
        creation.reserve(call.world, "qemu", call.node, vmid)
    if archive:
        return restore.machine(call, vmid, archive, given, replaces=replaces)
    return _create(call, vmid, given)


def _require_archive(call: Call, vmid: int, archive: str, given: Values) -> None:
    for key in sorted(given):
        if drives.is_drive(key):
            raise Refused.parameters({key: "option conflicts with option 'archive'"})
    access.require_volume(call, vmid, archive, "backup")
    if not archive.startswith("/") and volumes.find(call.world, call.node, archive) is None:
        raise Refused(500, f"volume '{archive}' does not exist")


def _judged(call: Call, vmid: int, pool: str | None, storage: str | None, given: Values) -> Values:
    """The options, checked for the caller's rights and brought into PVE's form."""
    if not given:
        return given
    given = qemu_options.with_cdrom(given)
    rights.require_qemu_drives(call, vmid, given, storage)
    rights.require_qemu_options(call, vmid, pool, given)
    rights.require_qemu_devices(call, vmid, pool, given)
    rights.require_bridges(call, "qemu", given)
    tags.require_new(call, str(given.get("tags", "")))
    qemu_options.require_one_cloudinit(given, {})
    prefix = str(call.world.options.get("mac_prefix", "BC:24:11"))
    return {key: qemu_options.stored(key, value, prefix) for key, value in given.items()}


def _create(call: Call, vmid: int, given: Values) -> str:
    world, node, params = call.world, call.node, call.params

    async def work(task: Task) -> None:
        made: list[str] = []
        try:
            async with locks.guest(world, "qemu", vmid):
                config = await _built(call, task, vmid, given, made)
        except (TaskFailed, locks.LockTimeout) as failure:
            disks.free_made(world, node, made)
            world.guests.pop(vmid, None)
            raise TaskFailed(f"unable to create VM {vmid} - {failure}") from None
        guest = world.guests[vmid]
        guest.config = config
        guest.template = bool(config.get("template"))
        await creation.join_pool(world, vmid, params.get("pool"))
        if params.get("start"):
            power.start_later(call, "qemu", vmid)

    return call.start_task("qmcreate", str(vmid), work)


async def _built(call: Call, task: Task, vmid: int, given: Values, made: list[str]) -> Values:
    """The VM's configuration with its disks made; their ids are added to `made` as they come."""
    world, node = call.world, call.node
    settled: Values = {}
    for key in drives.disk_keys("qemu", given):
        asked = properties.parse_drive(str(given[key])).get("file", "")
        settled[key] = await disks.settle(world, node, "qemu", vmid, key, str(given[key]), call.params.get("storage"))
        volid = drives.volume_of("qemu", key, settled[key])
        if volid and volid != asked:
            made.append(volid)
            creation.note_volume(task, world, str(settled[key]))
    await task.sleep(1)
    if text := call.unwritable():
        raise TaskFailed(text)
    config = fresh(creation.created_at(world)) | given | settled
    config.setdefault("boot", drives.boot_order(config))
    if pinned := qemu_options.pinned(config.get("ostype"), config.get("machine")):
        config["machine"] = pinned
    if config.get("template"):
        disks.to_base(world, node, "qemu", config)
    return config


def fresh(now: int) -> Values:
    """What PVE makes up for every new VM."""
    return {
        "smbios1": f"uuid={uuid.uuid4()}",
        "vmgenid": str(uuid.uuid4()),
        "meta": f"creation-qemu=10.1.2,ctime={now}",
    }
