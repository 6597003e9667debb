"""`POST vzdump`: backups of guests, their retention, and what one holds."""

import re
from typing import Any

from app.lab import clock, locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import config, creation, drives, figures, lookup, power, properties
from app.lab.state import Guest, Storage, Volume, World
from app.lab.storage import access, names, retention, rows, volumes
from app.lab.tasks import Task

_ROOT_ONLY = ("dumpdir", "script", "tmpdir")
_NOTE = re.compile(r"\{\{\s*([^}]*?)\s*\}\}")
#: PVE's manual: the end of a line and the backslash are written `\n` and `\\`.
_ESCAPED = re.compile(r"\\([n\\])")
_NOTE_NAMES = frozenset({"cluster", "guestname", "node", "vmid"})
_ENDINGS = {"qemu": "vma", "lxc": "tar"}
_HEADER = 10_240
_DEFAULTS: dict[str, Any] = {
    "all": 0,
    "bwlimit": 0,
    "compress": "0",
    "fleecing": {"enabled": 0},
    "ionice": 7,
    "lockwait": 180,
    "mailnotification": "always",
    "mode": "snapshot",
    "notification-mode": "auto",
    "performance": {"max-workers": 16, "pbs-entries-max": 1_048_576},
    "pigz": 0,
    "prune-backups": "keep-all=1",
    "quiet": 0,
    "remove": 1,
    "stdexcludes": 1,
    "stop": 0,
    "stopwait": 10,
    "zstd": 1,
}


def require_selection(params: dict[str, Any]) -> None:
    """One of vmid, all and pool, and nothing that contradicts it. Raises Refused 400."""
    if params.get("all") and params.get("vmid"):
        raise Refused.parameters({"all": "option conflicts with option 'vmid'"})
    if params.get("exclude") and params.get("vmid"):
        raise Refused.parameters({"exclude": "option conflicts with option 'vmid'"})
    if not (params.get("all") or params.get("vmid") or params.get("pool") or params.get("stop")):
        raise Refused.parameters({"vmid": "property is missing"})


def require_options(call: Call) -> None:
    """The options of a backup that need more than VM.Backup."""
    params, storage = call.params, call.params.get("storage")
    for option in _ROOT_ONLY:
        if option in params and not call.who.is_root:
            raise Refused.parameters({option: "Only root may set this option."})
    if {"bwlimit", "ionice", "performance"} & set(params):
        call.require("/", "Sys.Modify")
    for match in _NOTE.finditer(params.get("notes-template", "")):
        if match[1] not in _NOTE_NAMES:
            text = f"found unknown: variable '{match[1]}' at char {match.start() + 4}\n"
            raise Refused.parameters({"notes-template": text})
    if storage is not None:
        call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
        if "prune-backups" in params:
            call.require(f"/storage/{storage}", "Datastore.Allocate")
    elif "dumpdir" not in params:
        call.require("/storage/local", "Datastore.AllocateSpace")


def _note(call: Call, guest: Guest) -> str:
    values = {
        "cluster": call.world.cluster.name,
        "guestname": figures.name(guest),
        "node": call.node,
        "vmid": str(guest.vmid),
    }
    written = _ESCAPED.sub(lambda match: {"n": "\n"}.get(match[1], match[1]), call.params.get("notes-template", ""))
    return _NOTE.sub(lambda match: values[match[1]], written)


@handler("POST", "/nodes/{node}/vzdump")
def backup(call: Call) -> Any:
    params = call.params
    require_selection(params)
    require_options(call)
    if params.get("stdout"):
        raise Refused.parameters({"stdout": "option is only allowed on the command line interface."})
    pool = params.get("pool")
    if pool is not None and pool not in call.world.pools:
        raise Refused(500, f"pool '{pool}' does not exist")
    ids = _here(call)
    if params.get("stop"):
        _stop_others(call)
    if not ids and not params.get("all"):
        return "OK"

    async def work(task: Task) -> None:
        await _run(call, task, ids)

    return call.start_task("vzdump", str(ids[0]) if len(ids) == 1 else "", work)


def _here(call: Call) -> list[int]:
    """The guests of this node that are asked for, and ids that no node has; those of other nodes are passed over."""
    world, params = call.world, call.params
    asked = [int(part) for part in creation.split_lists(params.get("vmid"))]
    if not asked:
        members = world.pools[params["pool"]].vms if params.get("pool") else set(world.guests)
        left_out = {int(part) for part in creation.split_lists(params.get("exclude"))}
        asked = sorted(vmid for vmid in members - left_out if vmid in world.guests)
        asked = asked if params.get("all") or params.get("pool") else []
    return [vmid for vmid in asked if vmid not in world.guests or world.guests[vmid].node == call.node]


def _stop_others(call: Call) -> None:
    """Ask the backups that run on this node to end."""
    for task in list(call.world.running.values()):
        if task.record.type == "vzdump" and task.record.node == call.node:
            task.stop()


def _storage(call: Call) -> Storage | None:
    """Where the archives go; None for a directory that no storage owns. Raises TaskFailed."""
    world, name = call.world, call.params.get("storage")
    if name is None and (folder := call.params.get("dumpdir")):
        owners = (s for s in world.storages.values() if folder.rstrip("/") == f"{s.options.get('path')}/dump")
        return next(owners, None)
    storage = world.storages.get(name or "local")
    if storage is None:
        missing = f"storage '{name}' does not exist"
        first, second = f"could not activate storage '{name}'", f"could not get storage information for '{name}'"
        raise TaskFailed(f"{first}: {missing} {second}: {missing}")
    if "backup" not in access.contents(storage):
        reason = f"can't use storage '{storage.id}' for backups - wrong content type"
        raise TaskFailed(f"could not get storage information for '{storage.id}': {reason}")
    return storage


def _chosen(call: Call, ids: list[int]) -> list[int]:
    """Those that the caller may back up. A foreign one in a list of ids fails the job. Raises TaskFailed."""
    if call.params.get("vmid"):
        for vmid in ids:
            if not call.has(f"/vms/{vmid}", "VM.Backup"):
                raise TaskFailed(f"403 Permission check failed (/vms/{vmid}, VM.Backup)")
    return [vmid for vmid in ids if call.has(f"/vms/{vmid}", "VM.Backup")]


async def _run(call: Call, task: Task, ids: list[int]) -> None:
    storage, failed = _storage(call), False
    for vmid in _chosen(call, ids):
        try:
            await _one(call, task, storage, vmid)
        except (TaskFailed, locks.LockTimeout) as failure:
            task.log(f"ERROR: Backup of VM {vmid} failed - {failure}")
            failed = True
    if failed:
        raise TaskFailed("job errors")


def _archive_size(guest: Guest, used: int, compress: str) -> int:
    if guest.kind == "lxc":
        used = max(used, 163_840)
    plain = _HEADER + used
    return plain if compress == "0" else max(200, plain // 28)


def _used(world: World, guest: Guest) -> int:
    found = (
        volumes.find(world, guest.node, volid)
        for _key, volid in drives.own_volumes(guest.kind, guest.vmid, guest.config)
    )
    return sum(volume.used for volume in found if volume)


def _disk_sizes(world: World, guest: Guest) -> dict[str, list[int]]:
    """Size and use of the disks that a restore makes anew, by key."""
    out = {}
    for key in drives.disk_keys(guest.kind, guest.config):
        volid = drives.volume_of(guest.kind, key, guest.config[key])
        volume = volumes.find(world, guest.node, volid) if volid else None
        disk = drives.parse_disk(guest.kind, str(guest.config[key]))
        left_out = disk.get("backup") == "0" or (guest.kind == "qemu" and properties.is_cdrom(disk))
        if volume and volume.content == "images" and not left_out:
            out[key] = [volume.size, volume.used]
    return out


async def _one(call: Call, task: Task, storage: Storage | None, vmid: int) -> None:
    world, params = call.world, call.params
    guest = world.guests.get(vmid)
    if guest is None:
        raise TaskFailed(f"unable to find VM '{vmid}'")
    lookup.unlocked_in_task(guest)
    async with locks.guest(world, guest.kind, vmid):
        lookup.require_writable(world, guest)
        guest.config["lock"] = "backup"
        was_running = guest.status == "running"
        try:
            task.log(f"INFO: Starting Backup of VM {vmid} ({guest.kind})")
            if params.get("mode") == "stop" and was_running:
                power.switch_off(world, guest)
            await task.sleep(3)
            if storage:
                volume = _write(call, storage, guest)
                path = names.path_of(storage.type, storage.options, volume.volid.partition(":")[2])
                task.log(f"INFO: creating archive '{path}'")
        finally:
            guest.config.pop("lock", None)
        if params.get("mode") == "stop" and was_running:
            power.switch_on(world, guest)
    if storage and params.get("remove", 1):
        _prune(call, task, storage, guest)
    task.log(f"INFO: Finished Backup of VM {vmid}")


def _write(call: Call, storage: Storage, guest: Guest) -> Volume:
    world, compress = call.world, str(call.params.get("compress", "0"))
    moment = clock.now(world)
    while True:
        stamp = clock.stamp(moment)
        ending = _ENDINGS[guest.kind] + names.COMPRESSIONS[compress]
        volname = f"backup/vzdump-{guest.kind}-{guest.vmid}-{stamp}.{ending}"
        if volumes.find(world, call.node, f"{storage.id}:{volname}") is None:
            break
        moment += 1
    size = _archive_size(guest, _used(world, guest), compress)
    volume = volumes.make(world, call.node, storage, volname, size, used=size)
    values = {key: value for key, value in guest.config.items() if key not in ("lock", "parent")}
    volume.ctime = int(moment)
    volume.notes = _note(call, guest)
    volume.protected = bool(call.params.get("protected"))
    volume.archive = {"kind": guest.kind, "config": values, "disks": _disk_sizes(world, guest)}
    return volume


def _prune(call: Call, task: Task, storage: Storage, guest: Guest) -> None:
    written = call.params.get("prune-backups") or storage.options.get("prune-backups")
    if not written:
        return
    group = {
        volume.volid: volume.ctime
        for volume in volumes.on_storage(call.world, call.node, storage.id)
        if volume.content == "backup"
        and volume.vmid == guest.vmid
        and not volume.protected
        and rows.backup_kind(volume.volid) == guest.kind
    }
    for volid in set(group) - retention.kept(retention.parse(str(written)), group):
        task.log(f"INFO: prune older backups: {volid}")
        volumes.remove(call.world, call.node, volid)


_FOR_AUDITORS = ("dumpdir", "ionice", "mailto", "script", "tmpdir")


@handler("GET", "/nodes/{node}/vzdump/defaults")
def defaults(call: Call) -> Any:
    """What a backup uses where nothing is said; who may not audit the node is spared its insides."""
    name = call.params.get("storage", "local")
    call.require(f"/storage/{name}", "Datastore.Audit", "Datastore.AllocateSpace", any_of=True)
    storage = access.storage_of(call.world, name)
    if "backup" not in access.contents(storage):
        raise Refused(500, f"can't use storage '{name}' for backups - wrong content type")
    out = _DEFAULTS | {"storage": name, "dumpdir": f"{storage.options.get('path', '/var/lib/vz')}/dump"}
    if written := storage.options.get("prune-backups"):
        out["prune-backups"] = written
    if call.has(f"/nodes/{call.node}", "Sys.Audit"):
        return out
    return {key: value for key, value in out.items() if key not in _FOR_AUDITORS}


@handler("GET", "/nodes/{node}/vzdump/extractconfig")
def extract(call: Call) -> Any:
    volid = call.params["volume"]
    access.require_volume(call, None, volid, "backup")
    if names.split(volid) and (owner := access.read_volume(call.world, volid)[1].vmid):
        call.require(f"/vms/{owner}", "VM.Backup")
    volume = volumes.find(call.world, call.node, volid)
    if volume is None or volume.archive is None:
        raise Refused(500, f"unable to find backup '{volid}'")
    archive = volume.archive
    text = config.file_text(archive["kind"], archive["config"])
    if archive["kind"] == "qemu":
        for key in archive["disks"]:
            storage = str(archive["config"][key]).partition(":")[0]
            text += f"#qmdump#map:{key}:drive-{key}:{storage}:raw:\n"
    return text
