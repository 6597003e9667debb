"""`POST clone`: full copies of guests and of their snapshots, linked ones of templates."""

import uuid
from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import creation, disks, drives, features, lookup, options, properties, rights
from app.lab.guests.firewall import scopes
from app.lab.state import Guest, Volume, World
from app.lab.storage import access, names, volumes
from app.lab.storage.words import words
from app.lab.tasks import Task

Values = dict[str, str | int]

_LEFT_OUT = frozenset(words("lock parent pending snaptime snapstate template vmstate runningcpu runningmachine")) | {
    "running-nets-host-mtu"
}


def _source(call: Call, guest: Guest) -> Values:
    """The configuration that is copied: the guest's, or one of its snapshots'."""
    snapname = call.params.get("snapname")
    if snapname is None:
        return guest.config
    if snapname not in guest.snapshots:
        raise Refused(500, f"snapshot '{snapname}' does not exist")
    return guest.snapshots[snapname].config


def _is_full(call: Call, guest: Guest) -> bool:
    full = call.params.get("full")
    return bool(full) if full is not None else not guest.config.get("template")


def _require_target(call: Call, source: Values, guest: Guest) -> str:
    """The node that the clone is made for; another one only where all its storages are shared."""
    target: str = call.params.get("target") or call.node
    if target == call.node:
        return target
    word = lookup.NAMES[guest.kind]
    for _key, volid in drives.volumes(guest.kind, source):
        name = call.params.get("storage") or volid.partition(":")[0]
        if not access.is_shared(access.storage_of(call.world, name)):
            raise Refused(500, f"can't clone {word} to node '{target}' ({word} uses local storage)")
    return target


def _require_reachable(call: Call, content: str | None) -> None:
    """The node and the storage that are named for the clone are there, and fit each other."""
    target, storage = call.params.get("target", call.node), call.params.get("storage")
    if target not in (*call.world.nodes, "localhost"):
        raise Refused(500, f"no such cluster node '{target}'")
    if storage is None:
        return
    found = access.enabled(call.world, storage, call.node)
    if content:
        access.require_content(call.world, storage, content, f"storage '{storage}' does not support vm images")
    if target not in (call.node, "localhost"):
        access.enabled(call.world, storage, target)
        if not access.is_shared(found):
            raise Refused(500, f"can't clone to non-shared storage '{storage}'")


def _require_storages(call: Call, guest: Guest, source: Values) -> None:
    wanted = call.params.get("storage")
    for key in drives.disk_keys(guest.kind, source):
        disk = drives.parse_disk(guest.kind, str(source[key]))
        volid = drives.volume_of(guest.kind, key, source[key])
        if volid is None or (guest.kind == "qemu" and properties.is_cdrom(disk) and not drives.is_cloudinit(disk)):
            continue
        call.require(f"/storage/{wanted or volid.partition(':')[0]}", "Datastore.AllocateSpace")


def _require_linkable(call: Call, guest: Guest, source: Values) -> None:
    for key in drives.disk_keys(guest.kind, source):
        disk = drives.parse_disk(guest.kind, str(source[key]))
        volid = drives.volume_of(guest.kind, key, source[key])
        if volid is None or (guest.kind == "qemu" and properties.is_cdrom(disk)):
            continue
        if not features.can_link(call.world, guest, volid, snapshot=call.params.get("snapname") is not None):
            if guest.kind == "lxc":
                raise Refused(500, f"Linked clone feature for '{volid}' is not available")
            of = " a snapshot of" if call.params.get("snapname") is not None else ""
            raise Refused(500, f"Linked clone feature is not supported for{of} '{volid}' ({key})")


@handler("POST", "/nodes/{node}/qemu/{vmid}/clone")
def clone_vm(call: Call) -> Any:
    vmid, newid = call.params["vmid"], call.params["newid"]
    guest = lookup.find(call.world, "qemu", call.node, vmid)
    if guest is None:
        raise Refused(500, lookup.missing_vm(call.node, vmid))
    rights.require_pool(call, call.params.get("pool"))
    _require_reachable(call, "images")
    creation.require_quorum(call)
    lookup.require_unlocked(guest)
    source, full = _source(call, guest), _is_full(call, guest)
    for option in ("storage", "format"):
        if option in call.params and not full:
            raise Refused(500, f"parameter '{option}' not allowed for linked clones")
    _require_storages(call, guest, source)
    rights.require_bridges(call, "qemu", source)
    target = _require_target(call, source, guest)
    if not full:
        _require_linkable(call, guest, source)
    if lookup.find(call.world, "qemu", call.node, newid):
        raise Refused(500, f"unable to create VM {newid}: config file already exists")

    async def make(task: Task) -> None:
        if newid in call.world.guests:
            path = f"/etc/pve/nodes/{call.node}/qemu-server/{newid}.conf"
            raise TaskFailed(f"close (rename) atomic file '{path}' failed: File exists")
        made = creation.reserve(call.world, "qemu", call.node, newid, "clone")
        try:
            await _copy(call, task, guest, source, made, full=full)
        except (TaskFailed, locks.LockTimeout) as failure:
            creation.discard(call.world, made)
            raise TaskFailed(f"clone failed: {failure}") from None
        made.node = target
        await creation.join_pool(call.world, newid, call.params.get("pool"))

    async def work(task: Task) -> None:
        # A VM that is off may be copied several times at once, one that runs may not.
        async with locks.guest(call.world, "qemu", vmid, 1, shared=guest.status != "running"):
            await make(task)

    return call.start_task("qmclone", str(vmid), work)


@handler("POST", "/nodes/{node}/lxc/{vmid}/clone")
async def clone_ct(call: Call) -> Any:
    async with locks.guest(call.world, "lxc", call.params["vmid"]):
        return _clone_ct(call)


def _clone_ct(call: Call) -> str:
    vmid, newid = call.params["vmid"], call.params["newid"]
    rights.require_pool(call, call.params.get("pool"))
    _require_reachable(call, None)
    creation.require_quorum(call)
    guest = lookup.guest_of(call, "lxc")
    lookup.require_unlocked(guest)
    if text := lookup.taken(call.world, newid):
        raise Refused(500, text)
    full = _is_full(call, guest)
    if call.params.get("storage") is not None and not full:
        raise Refused(500, "parameter 'storage' not allowed for linked clones")
    source = _source(call, guest)
    _require_storages(call, guest, source)
    if full and guest.status == "running" and call.params.get("snapname") is None:
        raise Refused(500, "Full clone of a running container is only possible from a snapshot")
    if not full:
        _require_linkable(call, guest, source)
    rights.require_bridges(call, "lxc", source)
    target = _require_target(call, source, guest)
    made = creation.reserve(call.world, "lxc", call.node, newid)
    guest.config["lock"] = "disk"

    async def work(task: Task) -> None:
        try:
            await _copy(call, task, guest, source, made, full=full)
            made.node = target
            await creation.join_pool(call.world, newid, call.params.get("pool"))
        except (TaskFailed, locks.LockTimeout) as failure:
            if "lock" in made.config:
                creation.discard(call.world, made)
            raise TaskFailed(f"clone failed: {failure}") from None
        finally:
            guest.config.pop("lock", None)

    return call.start_task("vzclone", str(vmid), work)


async def _copy(call: Call, task: Task, guest: Guest, source: Values, made: Guest, *, full: bool) -> None:
    """Fill the reserved guest: options copied, cards with new addresses, disks copied or linked."""
    source, snapshot = dict(source), guest.config is not source
    fresh: Values = {}
    volids: list[str] = []
    prefix = str(call.world.options.get("mac_prefix", "BC:24:11"))
    try:
        for key, value in source.items():
            if key in _LEFT_OUT or drives.is_unused(key):
                continue
            if options.family(key) == "net" and key != "net":
                fresh[key] = properties.fresh_mac(guest.kind, str(value), prefix)
            elif not drives.is_disk(guest.kind, key):
                fresh[key] = value
        for key in drives.disk_keys(guest.kind, source):
            fresh[key] = await _copy_disk(call, guest, made.vmid, key, str(source[key]), volids, full=full)
            task.log(f"{'create full' if full else 'create linked'} clone of {_word(guest)} {key}")
        await task.sleep(5 if full else 1)
    except (TaskFailed, locks.LockTimeout):
        disks.free_made(call.world, call.node, volids)
        raise
    if snapshot and "description" in guest.config:
        fresh.setdefault("description", guest.config["description"])
    made.config = fresh | _named(call, guest, source)
    # What is installed on a disk comes with its copy.
    made.agent, made.deaf, made.boot_seconds = guest.agent, guest.deaf, guest.boot_seconds
    scopes.copy_guest(call.world, guest.vmid, made.vmid)


def _word(guest: Guest) -> str:
    return "drive" if guest.kind == "qemu" else "mountpoint"


def _named(call: Call, guest: Guest, source: Values) -> Values:
    """The options that the call names for the clone, and what every VM has for itself."""
    out: Values = {}
    if guest.kind == "qemu":
        out["name"] = call.params.get("name") or f"Copy-of-VM-{source.get('name', guest.vmid)}"
        if "smbios1" in source:
            out["smbios1"] = properties.fresh_uuid(str(source["smbios1"]))
        if "vmgenid" in source:
            out["vmgenid"] = str(uuid.uuid4())
    elif call.params.get("hostname"):
        out["hostname"] = call.params["hostname"]
    if call.params.get("description"):
        out["description"] = call.params["description"]
    return out


async def _copy_disk(call: Call, guest: Guest, newid: int, key: str, value: str, made: list[str], *, full: bool) -> str:
    world, node = call.world, call.node
    disk, volid = drives.parse_disk(guest.kind, value), drives.volume_of(guest.kind, key, value)
    if volid is None:
        return value
    if guest.kind == "qemu" and drives.is_cloudinit(disk):
        storage = call.params.get("storage") or volid.partition(":")[0]
        settled = await disks.settle(world, node, "qemu", newid, key, f"{storage}:cloudinit,media=cdrom")
        made.append(drives.volume_of("qemu", key, settled) or "")
        return settled
    if guest.kind == "qemu" and properties.is_cdrom(disk):
        return value
    volume = volumes.require_there(world, node, volid)
    new = await _new_volume(call, guest, volume, newid, full=full)
    made.append(new.volid)
    return drives.render_disk(guest.kind, disk | {"file": new.volid})


async def _new_volume(call: Call, guest: Guest, volume: Volume, newid: int, *, full: bool) -> Volume:
    world, node = call.world, call.node
    storage = access.in_task(world, (call.params.get("storage") if full else None) or volume.storage, node)
    content = "rootdir" if guest.kind == "lxc" else "images"
    if content not in access.contents(storage):
        raise TaskFailed(f"content type '{content}' is not available or configured on storage '{storage.id}'")
    async with volumes.lock(world, storage, node):
        if not full and storage.type in names.FILE_TYPES:
            return _linked_file(world, node, volume, newid)
        wanted = call.params.get("format") or (volume.format if storage.type in names.FILE_TYPES else None)
        if storage.type not in names.FILE_TYPES:
            wanted = None
        return volumes.new_disk(
            world, node, storage, newid, volume.size, wanted=wanted, used=volume.used if full else 0
        )


def _linked_file(world: World, node: str, volume: Volume, newid: int) -> Volume:
    """A qcow2 file that rests on the template's: `100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2`."""
    storage = world.storages[volume.storage]
    number = volumes.free_number(world, node, storage, newid)
    base = volume.volid.partition(":")[2]
    volname = f"{base}/{names.disk_name(storage.type, newid, number, 'qcow2')}"
    return volumes.make(world, node, storage, volname, volume.size, parent=base)
