"""Guests restored of backups, as new ones or over the one they came from."""

import uuid
from typing import Any

from app.lab import locks
from app.lab.call import Call, TaskFailed
from app.lab.guests import creation, disks, drives, lxc_options, options, power, properties, sizes
from app.lab.state import Guest, Volume
from app.lab.storage import access, names, volumes
from app.lab.tasks import Task

Values = dict[str, str | int]


def _archive(call: Call, volid: str, kind: str) -> tuple[Volume, dict[str, Any]]:
    volume = volumes.require_there(call.world, call.node, volid)
    if (volume.archive or {}).get("kind", kind) != kind:
        if kind == "lxc":
            raise TaskFailed("ERROR: archive contains no configuration file")
        storage = call.world.storages[volume.storage]
        path = names.path_of(storage.type, storage.options, volume.volid.partition(":")[2])
        raise TaskFailed(f"ERROR: file '{path}' does not look like a QemuServer vzdump backup")
    if volume.archive is None:
        raise TaskFailed(f"command 'tar xpf - --totals' failed: '{volid}' is no archive of this lab")
    return volume, volume.archive


def machine(call: Call, vmid: int, volid: str, given: Values, *, replaces: bool) -> str:
    """`qmrestore`: a VM of an archive, with the given options over the archived ones."""
    world = call.world

    async def work(task: Task) -> None:
        guest = world.guests[vmid]
        try:
            if replaces and guest.status == "running":
                raise TaskFailed(f"unable to restore VM {vmid} - vm is running")
            if call.params.get("live-restore"):
                raise TaskFailed("live-restore is only compatible with backup images from a Proxmox Backup Server")
            volume, archive = _archive(call, volid, "qemu")
        except TaskFailed:
            guest.config.pop("lock", None)
            raise
        if replaces:
            _clear(call, guest)
        try:
            async with locks.guest(world, "qemu", vmid):
                config = await _rebuilt(call, task, guest, archive, {})
        except (TaskFailed, locks.LockTimeout) as failure:
            guest.config = {}
            raise TaskFailed(f"command '{_command(call, volume)}' failed: {failure}") from None
        guest.config = config | given | {"vmgenid": str(uuid.uuid4())}
        guest.template = bool(guest.config.get("template"))
        if guest.template:
            disks.to_base(world, call.node, "qemu", guest.config)
        await creation.join_pool(world, vmid, call.params.get("pool"))
        if call.params.get("start"):
            power.start_later(call, "qemu", vmid)

    return call.start_task("qmrestore", str(vmid), work)


def _command(call: Call, volume: Volume) -> str:
    """The shell command that PVE names when a restore fails."""
    storage = call.world.storages[volume.storage]
    path = names.path_of(storage.type, storage.options, volume.volid.partition(":")[2])
    scratch = f"/var/tmp/vzdumptmp{10_000 + volume.ctime % 50_000}"  # noqa: S108 - part of a text, no file
    reader = {"zst": "zstd -q -d -c", "gz": "zcat", "lzo": "lzop -d -c"}.get(path.rpartition(".")[2])
    if reader:
        return f"set -o pipefail && {reader} {path} | vma extract -v -r {scratch}.fifo - {scratch}"
    return f"vma extract -v -r {scratch}.fifo {path} {scratch}"


def _clear(call: Call, guest: Guest) -> None:
    """The disks and snapshots of the guest that is overwritten go."""
    for values in (guest.config, *(snapshot.config for snapshot in guest.snapshots.values())):
        for _key, volid in drives.own_volumes(guest.kind, guest.vmid, values):
            volumes.remove(call.world, call.node, volid)
    guest.snapshots.clear()
    guest.pending.clear()
    guest.pending_delete.clear()


async def _rebuilt(call: Call, task: Task, guest: Guest, archive: dict[str, Any], mounts: dict[str, str]) -> Values:
    """The archived configuration with its disks made anew. `mounts` replaces a container's volumes."""
    config: Values = dict(archive["config"])
    for key in [key for key in config if drives.is_unused(key)]:
        del config[key]
    wanted = {key: str(config[key]) for key in archive["disks"]} | mounts
    made: list[str] = []
    try:
        for key in drives.disk_keys(guest.kind, wanted):
            config[key] = await _disk(
                call, guest, key, wanted[key], archive["disks"].get(key), made, asked=key in mounts
            )
        for key in drives.disk_keys(guest.kind, config):
            disk = drives.parse_disk(guest.kind, str(config[key]))
            if guest.kind == "qemu" and drives.is_cloudinit(disk) and key not in wanted:
                storage = call.params.get("storage") or disk["file"].partition(":")[0]
                config[key] = await disks.settle(
                    call.world, call.node, "qemu", guest.vmid, key, f"{storage}:cloudinit,media=cdrom"
                )
        await task.sleep(5)
    except (TaskFailed, locks.LockTimeout):
        disks.free_made(call.world, call.node, made)
        raise
    if call.params.get("unique"):
        prefix = str(call.world.options.get("mac_prefix", "BC:24:11"))
        for key in config:
            if options.family(key) == "net" and key != "net":
                config[key] = properties.fresh_mac(guest.kind, str(config[key]), prefix)
        if "smbios1" in config:
            config["smbios1"] = properties.fresh_uuid(str(config["smbios1"]))
    return config


async def _disk(
    call: Call, guest: Guest, key: str, value: str, kept: list[int] | None, made: list[str], *, asked: bool
) -> str:
    world, node = call.world, call.node
    if asked:
        settled = await disks.settle(world, node, guest.kind, guest.vmid, key, value)
        made.append(drives.volume_of(guest.kind, key, settled) or "")
        return settled
    disk = drives.parse_disk(guest.kind, value)
    storage = access.in_task(world, call.params.get("storage") or disk["file"].partition(":")[0], node)
    content = "images" if guest.kind == "qemu" else "rootdir"
    if content not in access.contents(storage):
        what = "vm images" if guest.kind == "qemu" else "container directories"
        raise TaskFailed(f"storage '{storage.id}' does not support {what}")
    size, used = kept or [0, 0]
    async with volumes.lock(world, storage, node):
        volume = volumes.new_disk(world, node, storage, guest.vmid, size, used=used)
    made.append(volume.volid)
    return drives.render_disk(guest.kind, disk | {"file": volume.volid, "size": sizes.written(volume.size)})


def container(call: Call, vmid: int, volid: str, given: Values, mounts: dict[str, str], *, replaces: bool) -> str:
    """`vzrestore`: a container of an archive; it keeps the archive's `unprivileged` unless told otherwise.

    The new volumes are made before the old ones go, so a container restored in place changes its volumes' names.
    """
    world = call.world
    old = world.guests[vmid] if replaces else None
    before = _named(old) if old else []

    async def work(task: Task) -> None:
        guest = world.guests[vmid]
        try:
            _volume, archive = _archive(call, volid, "lxc")
            flag = _unprivileged(call, archive["config"])
            async with locks.guest(world, "lxc", vmid):
                config = await _rebuilt(call, task, guest, archive, mounts)
        except (TaskFailed, locks.LockTimeout) as failure:
            if old:
                guest.config.pop("lock", None)
            else:
                world.guests.pop(vmid, None)
            raise TaskFailed(f"unable to restore CT {vmid} - {failure}") from None
        for name in before:
            volumes.remove(world, call.node, name)
        guest.snapshots.clear()
        guest.config = config | {key: lxc_options.stored(key, value) for key, value in given.items()}
        guest.config.pop("unprivileged", None)
        guest.config |= {"unprivileged": 1} if flag else {}
        guest.template = bool(guest.config.get("template"))
        if guest.template:
            disks.to_base(world, call.node, "lxc", guest.config)
        await creation.join_pool(world, vmid, call.params.get("pool"))
        if call.params.get("start"):
            power.start_later(call, "lxc", vmid)

    return call.start_task("vzrestore", str(vmid), work)


def _named(guest: Guest) -> list[str]:
    values = (guest.config, *(snapshot.config for snapshot in guest.snapshots.values()))
    return [volid for config in values for _key, volid in drives.own_volumes("lxc", guest.vmid, config)]


def _unprivileged(call: Call, archived: Values) -> bool:
    asked = call.params.get("unprivileged")
    if asked is None:
        return bool(archived.get("unprivileged"))
    if not asked and archived.get("unprivileged") and not call.has("/", "Sys.Modify"):
        raise TaskFailed("Permission check failed (/, Sys.Modify)")
    return bool(asked)
