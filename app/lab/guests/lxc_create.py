"""`POST /nodes/{node}/lxc`: a container of a template, or restored of a backup."""

import re
from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import creation, disks, drives, keys, lookup, lxc_options, power, properties, restore, rights
from app.lab.state import Guest
from app.lab.storage import access, volumes
from app.lab.storage.words import words
from app.lab.tasks import Task

Values = dict[str, str | int]

_NOT_CONFIG = frozenset(
    words(
        "node vmid ostemplate storage pool restore force start unique password ssh-public-keys bwlimit "
        "ignore-unpack-errors ha-managed unprivileged"
    )
)
_DEFAULT_ROOTFS_GIB = 4
_UNPACKED = 450 << 20


@handler("POST", "/nodes/{node}/lxc")
def create(call: Call) -> Any:
    creation.require_quorum(call)
    params, vmid = call.params, call.params["vmid"]
    restoring = bool(params.get("restore"))
    existing = lookup.find(call.world, "lxc", call.node, vmid)
    replaces = bool(existing and restoring and params.get("force"))
    _require_id(call, vmid, existing, replaces=replaces)
    keys.require(params.get("ssh-public-keys", ""))
    pool = params.get("pool")
    rights.require_pool(call, pool)
    if not rights.may_take_id(call, vmid, pool) and not (replaces and call.has(f"/vms/{vmid}", "VM.Backup")):
        raise rights.forbidden()
    given: Values = {
        key: value for key, value in params.items() if key not in _NOT_CONFIG and not drives.is_unused(key)
    }
    unprivileged = bool(params.get("unprivileged", 1))
    _require_privileges(call, vmid, pool, given, unprivileged=unprivileged, restoring=restoring)
    archive = params["ostemplate"]
    access.require_volume(call, vmid, archive, "backup" if restoring else "vztmpl")
    mounts = _mounts(given, params.get("storage", "local"))
    _require_storages(call, mounts, params.get("storage", "local"))
    if replaces and existing:
        existing.config["lock"] = "create"
    else:
        creation.reserve(call.world, "lxc", call.node, vmid)
    plain = {key: value for key, value in given.items() if key not in mounts}
    if restoring:
        return restore.container(call, vmid, archive, plain, mounts, replaces=replaces)
    return _create(call, vmid, archive, plain, mounts, unprivileged=unprivileged)


def _require_id(call: Call, vmid: int, existing: Guest | None, *, replaces: bool) -> None:
    if not replaces:
        if text := lookup.taken(call.world, vmid):
            raise Refused(500, text)
        return
    if existing and existing.status == "running":
        raise Refused(500, f"can't overwrite running container {vmid}")
    if existing and existing.config.get("protection"):
        raise Refused(500, f"unable to restore CT {vmid} - protection mode enabled")


def _require_privileges(
    call: Call, vmid: int, pool: str | None, given: Values, *, unprivileged: bool, restoring: bool
) -> None:
    rights.require_lxc_options(call, vmid, pool, None, given, (), unprivileged=unprivileged)
    if not unprivileged and not restoring:
        call.require("/", "Sys.Modify")


def _mounts(given: Values, storage: str) -> dict[str, str]:
    """rootfs and mount points; a bare size means the default storage."""
    mounts = {key: str(value) for key, value in given.items() if drives.is_mount(key)}
    if mounts and "rootfs" not in mounts:
        raise Refused(500, "mount points configured, but 'rootfs' not set - aborting")
    return {key: f"{storage}:{value}" if re.match(r"^\d", value) else value for key, value in mounts.items()}


def _require_storage(call: Call, storage: str) -> None:
    access.enabled(call.world, storage, call.node)
    text = f"storage '{storage}' does not support container directories"
    access.require_content(call.world, storage, "rootdir", text)
    call.require(f"/storage/{storage}", "Datastore.AllocateSpace")


def _require_storages(call: Call, mounts: dict[str, str], default: str) -> None:
    for key in drives.disk_keys("lxc", mounts):
        volume = properties.parse_mount(mounts[key]).get("volume", "")
        if rights.mount_type(volume) != "volume":
            if not call.who.is_root:
                raise Refused(500, "Only root can pass arbitrary filesystem paths.")
            continue
        storage, sep, _name = volume.partition(":")
        if not sep:
            raise Refused(500, f"unable to parse volume ID '{volume}'")
        _require_storage(call, storage)
    if not mounts:
        _require_storage(call, default)


def _create(call: Call, vmid: int, archive: str, plain: Values, mounts: dict[str, str], *, unprivileged: bool) -> str:
    world, node, params = call.world, call.node, call.params

    async def work(task: Task) -> None:
        made: list[str] = []
        try:
            async with locks.guest(world, "lxc", vmid):
                config = await _built(call, task, vmid, archive, plain, mounts, made)
        except (TaskFailed, locks.LockTimeout) as failure:
            disks.free_made(world, node, made)
            world.guests.pop(vmid, None)
            raise TaskFailed(f"unable to create CT {vmid} - {failure}") from None
        if unprivileged:
            config["unprivileged"] = 1
        guest = world.guests[vmid]
        guest.config = config
        guest.template = bool(config.get("template"))
        await creation.join_pool(world, vmid, params.get("pool"))
        if params.get("start"):
            power.start_later(call, "lxc", vmid)

    return call.start_task("vzcreate", str(vmid), work)


async def _built(
    call: Call, task: Task, vmid: int, archive: str, plain: Values, mounts: dict[str, str], made: list[str]
) -> Values:
    """The container's configuration with its volumes made; their ids are added to `made` as they come."""
    world, node = call.world, call.node
    template = volumes.require_there(world, node, archive) if not archive.startswith("/") else None
    wanted = mounts or {"rootfs": f"{call.params.get('storage', 'local')}:{_DEFAULT_ROOTFS_GIB}"}
    settled: Values = {}
    for key in drives.disk_keys("lxc", wanted):
        settled[key] = await disks.settle(world, node, "lxc", vmid, key, wanted[key])
        if properties.new_volume(properties.parse_mount(wanted[key]).get("volume", "")):
            volid = drives.volume_of("lxc", key, settled[key])
            made += [volid] if volid else []
            creation.note_volume(task, world, str(settled[key]))
    if root := volumes.find(world, node, drives.volume_of("lxc", "rootfs", settled["rootfs"]) or ""):
        root.used = min(root.size, _UNPACKED)
    if template:
        task.log(f"extracting archive '{template.volid}'")
    await task.sleep(3)
    return lxc_options.defaults(vmid, plain, archive) | settled
