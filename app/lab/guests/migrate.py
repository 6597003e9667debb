"""`POST migrate`: a guest moves to another node, with the volumes that only its old node has."""

from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import creation, drives, lookup, power, properties, sizes
from app.lab.state import Guest, World
from app.lab.storage import access, volumes
from app.lab.storage.words import words
from app.lab.tasks import Task

Config = dict[str, str | int]
_ROOT_ONLY = ("force", "migration_type", "migration_network")


def require_target(call: Call) -> str:
    """The node to go to. Raises Refused for this node, for one that is none of the cluster's, and without quorum."""
    target: str = call.params["target"]
    if target == call.node:
        raise Refused.parameters({"target": "target is local node."})
    creation.require_quorum(call)
    if target not in call.world.nodes:
        raise Refused(500, f"no such cluster node '{target}'")
    return target


def local_volumes(world: World, guest: Guest) -> list[str]:
    """The guest's volumes that its node does not share."""
    values = [guest.config, *(snapshot.config for snapshot in guest.snapshots.values())]
    found = {volid for config in values for _key, volid in drives.own_volumes(guest.kind, guest.vmid, config)}
    return sorted(volid for volid in found if not access.is_shared(access.storage_of(world, volid.partition(":")[0])))


def _other_storage(mapping: str | None, storage: str) -> str:
    """The storage that a mapping, `1`, `b` or `a:b,c:d`, names for this one."""
    for pair in (mapping or "1").split(","):
        source, sep, target = pair.partition(":")
        if sep and source == storage:
            return target
        if not sep and source != "1":
            return source
    return storage


def _require_storages(call: Call, guest: Guest, target: str, mapping: str | None) -> None:
    for volid in local_volumes(call.world, guest):
        name = _other_storage(mapping, volid.partition(":")[0])
        access.enabled(call.world, name, target)
        if mapping:
            call.require(f"/storage/{name}", "Datastore.AllocateSpace")


def _travels(world: World, guest: Guest, volid: str) -> bool:
    """Whether a local volume takes its snapshots along."""
    storage, known = access.read_volume(world, volid)
    return storage.type in ("zfspool", "btrfs") or (guest.kind == "qemu" and known.format == "qcow2")


def _require_no_snapshots(world: World, task: Task, guest: Guest) -> None:
    """Snapshots of local volumes stay where they are, unless the storage can send them. Raises TaskFailed."""
    local = local_volumes(world, guest)
    saved = {
        volid
        for snapshot in guest.snapshots.values()
        for key, volid in drives.own_volumes(guest.kind, guest.vmid, snapshot.config)
        if volid in local and key != "vmstate"
    }
    live = guest.kind == "qemu" and guest.status == "running"
    stuck = sorted(volid for volid in saved if live or not _travels(world, guest, volid))
    why = "online storage migration not possible if non-replicated snapshot exists"
    for volid in stuck:
        reason = why if live else "non-migratable snapshot exists"
        task.log(f"ERROR: can't migrate local volume '{volid}': {reason}")
    if stuck:
        prefix = "Problem found while scanning volumes - " if guest.kind == "qemu" else ""
        raise TaskFailed(f"{prefix}can't migrate {lookup.NAMES[guest.kind]} - check log")


def _move(world: World, guest: Guest, target: str, mapping: str | None) -> None:
    renamed: dict[str, str] = {}
    for volid in local_volumes(world, guest):
        volume = volumes.find(world, guest.node, volid)
        if volume is None:
            continue
        volumes.remove(world, guest.node, volid)
        storage = world.storages[_other_storage(mapping, volume.storage)]
        volume.node = target
        if storage.id != volume.storage:
            volume.storage = storage.id
            volume.volid = f"{storage.id}:{volid.partition(':')[2]}"
        volumes.add(world, volume)
        renamed[volid] = volume.volid
    for config in (guest.config, *(snapshot.config for snapshot in guest.snapshots.values())):
        for key, volid in list(drives.volumes(guest.kind, config)):
            if volid in renamed:
                config[key] = str(config[key]).replace(volid, renamed[volid], 1)
    guest.node = target


async def _carry_out(call: Call, task: Task, kind: str, target: str, mapping: str | None) -> None:
    """The move itself; whatever stops it ends the task with `migration aborted`, the reason in its log."""
    vmid = call.params["vmid"]
    try:
        async with locks.guest(call.world, kind, vmid):
            guest = lookup.in_task(call.world, kind, call.node, vmid)
            lookup.unlocked_in_task(guest)
            running = guest.status == "running"
            if running and kind == "lxc" and not call.params.get("restart"):
                raise TaskFailed("lxc live migration is currently not implemented")
            if (
                running
                and kind == "qemu"
                and local_volumes(call.world, guest)
                and not call.params.get("with-local-disks")
            ):
                raise TaskFailed("can't live migrate attached local disks without with-local-disks option")
            task.log(f"starting migration of {lookup.NAMES[kind]} {vmid} to node '{target}'")
            if not call.world.nodes[target].online:
                raise TaskFailed("Can't connect to destination address using public key")
            _require_no_snapshots(call.world, task, guest)
            if running and kind == "lxc":
                power.switch_off(call.world, guest)
            await task.sleep(5)
            _move(call.world, guest, target, mapping)
            if running and kind == "lxc":
                power.switch_on(call.world, guest)
            task.log("migration finished successfully")
    except (TaskFailed, locks.LockTimeout) as failure:
        task.log(f"ERROR: migration aborted: {failure}")
        raise TaskFailed("migration aborted") from None


@handler("POST", "/nodes/{node}/qemu/{vmid}/migrate")
def migrate_vm(call: Call) -> Any:
    target = require_target(call)
    for option in _ROOT_ONLY:
        if option in call.params and not call.who.is_root:
            raise Refused.parameters({option: "Only root may use this option."})
    guest = lookup.guest_of(call, "qemu")
    lookup.require_unlocked(guest)
    if guest.status == "running" and not call.params.get("online"):
        raise Refused(500, "can't migrate running VM without --online")
    mapping = call.params.get("targetstorage")
    _require_storages(call, guest, target, mapping)

    async def work(task: Task) -> None:
        await _carry_out(call, task, "qemu", target, mapping)

    return call.start_task("qmigrate", str(guest.vmid), work)


@handler("POST", "/nodes/{node}/lxc/{vmid}/migrate")
def migrate_ct(call: Call) -> Any:
    target = require_target(call)
    guest = lookup.guest_of(call, "lxc")
    if guest.status == "running" and not call.params.get("online") and not call.params.get("restart"):
        raise Refused(500, "can't migrate running container without --online or --restart")
    mapping = call.params.get("target-storage")
    _require_storages(call, guest, target, mapping)

    async def work(task: Task) -> None:
        await _carry_out(call, task, "lxc", target, mapping)

    return call.start_task("vzmigrate", str(guest.vmid), work)


def _local_disks(world: World, guest: Guest) -> list[dict[str, Any]]:
    """The volumes that bind a VM to its node, isos too, each with what PVE says of its use."""
    found: dict[str, dict[str, Any]] = {}
    sections: list[tuple[str | None, Config]] = [(None, guest.config)]
    sections += [(name, snapshot.config) for name, snapshot in guest.snapshots.items()]
    for snapname, values in sections:
        for key, volid in drives.volumes("qemu", values):
            storage = world.storages.get(volid.partition(":")[0])
            if storage is not None and access.is_shared(storage):
                continue
            is_drive = drives.is_drive(key)
            drive = properties.parse_drive(str(values[key])) if is_drive else {}
            row = found.setdefault(volid, _unused_disk(volid))
            row["cdrom"] = int(row["cdrom"] and properties.is_cdrom(drive))
            row["is_unused"] |= int(drives.is_unused(key))
            row["is_vmstate"] |= int(key == "vmstate")
            row["is_tpmstate"] |= int(key == "tpmstate0")
            if is_drive:
                row["drivename"] = key
            if size := sizes.size_of(drive.get("size", "")):
                row["size"] = size
            if snapname is None:
                row["referenced_in_config"] = 1
                row["is_attached"] |= int(is_drive and not row["cdrom"])
            else:
                row.setdefault("referenced_in_snapshot", {})[snapname] = 1
    return list(found.values())


def _unused_disk(volid: str) -> dict[str, Any]:
    flags = dict.fromkeys(words("is_attached is_tpmstate is_unused is_vmstate referenced_in_config shared"), 0)
    return {"volid": volid, "cdrom": 1, "replicate": 1, **flags}


def _conditions(call: Call, kind: str) -> tuple[Guest, list[str]]:
    """The unlocked guest, and the nodes that it could go to."""
    creation.require_quorum(call)
    guest = lookup.guest_of(call, kind)
    lookup.require_unlocked(guest)
    return guest, [name for name in call.world.nodes if name != call.node]


@handler("GET", "/nodes/{node}/qemu/{vmid}/migrate")
def conditions_of_vm(call: Call) -> Any:
    guest, others = _conditions(call, "qemu")
    stores = [call.world.storages.get(volid.partition(":")[0]) for volid in local_volumes(call.world, guest)]
    missing = {
        node: sorted({storage.id for storage in stores if storage and not access.on_node(storage, node)})
        for node in others
    }
    return {
        "running": int(guest.status == "running"),
        "allowed_nodes": [node for node in others if not missing[node]],
        "not_allowed_nodes": {node: {"unavailable_storages": ids} for node, ids in missing.items() if ids},
        "local_disks": _local_disks(call.world, guest),
        "local_resources": [],
        "mapped-resources": [],
        "mapped-resource-info": {},
        "has-dbus-vmstate": 1,
    }


@handler("GET", "/nodes/{node}/lxc/{vmid}/migrate")
def conditions_of_ct(call: Call) -> Any:
    guest, others = _conditions(call, "lxc")
    return {"running": int(guest.status == "running"), "allowed-nodes": others, "not-allowed-nodes": {}}
