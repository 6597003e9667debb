"""`/nodes/{node}/storage`: which storages a node has, how full they are, what their retention would keep."""

import re
from collections import defaultdict
from typing import Any

from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.state import Storage, Volume, World
from app.lab.storage import access, retention, rows, volumes
from app.lab.storage.words import words

_PARTS = words(
    "content download-url file-restore import-metadata oci-registry-pull prunebackups rrd rrddata status upload"
)


def _content(storage: Storage) -> str:
    return ",".join(sorted(access.contents(storage)))


def row(world: World, node: str, storage: Storage) -> dict[str, Any]:
    """active, enabled and the figures in bytes; zeros where the storage is not for this node."""
    on = access.on_node(storage, node)
    total, used = volumes.figures(world, node, storage) if on else (0, 0)
    return {
        "type": storage.type,
        "content": _content(storage),
        "shared": int(access.is_shared(storage)),
        "enabled": int(on),
        "active": int(on),
        "total": total,
        "used": used,
        "avail": total - used,
    }


@handler("GET", "/nodes/{node}/storage")
def listing(call: Call) -> Any:
    params, out = call.params, []
    wanted = set(re.split(r"[,; ]+", params["content"])) if params.get("content") else None
    for storage in call.world.storages.values():
        if params.get("storage") not in (None, storage.id):
            continue
        if not call.has(f"/storage/{storage.id}", "Datastore.Audit", "Datastore.AllocateSpace", any_of=True):
            continue
        if wanted and not wanted & access.contents(storage):
            continue
        found = row(call.world, call.node, storage) | {"storage": storage.id}
        if params.get("enabled") and not found["enabled"]:
            continue
        target = params.get("target", call.node)
        if target != call.node and not (access.on_node(storage, target) and found["shared"]):
            continue
        out.append(found | ({"used_fraction": found["used"] / found["total"]} if found["total"] else {}))
    return out


@handler("GET", "/nodes/{node}/storage/{storage}")
def index(_call: Call) -> Any:
    return [{"subdir": part} for part in _PARTS]


@handler("GET", "/nodes/{node}/storage/{storage}/status")
def status(call: Call) -> Any:
    storage = call.world.storages.get(call.params["storage"])
    if storage is None:
        raise Refused.parameters({"storage": "No such storage."})
    return row(call.world, call.node, storage)


@handler("GET", "/nodes/{node}/storage/{storage}/rrddata")
def rrddata(call: Call) -> Any:
    storage = access.storage_of(call.world, call.params["storage"])
    total, used = volumes.figures(call.world, call.node, storage)
    moments = rows.moments(call.world, call.params["timeframe"])
    return [{"time": moment, "total": total, "used": used} for moment in moments]


def _plan(call: Call, storage: Storage) -> dict[str, int]:
    if "backup" not in access.contents(storage):
        raise Refused(500, f"storage '{storage.id}' does not support backups")
    written = call.params.get("prune-backups") or storage.options.get("prune-backups")
    if not written:
        raise Refused(500, f"no prune-backups options configured for storage '{storage.id}'")
    return retention.parse(str(written))


def _groups(call: Call, storage: Storage) -> dict[tuple[str, int], list[Volume]]:
    groups: dict[tuple[str, int], list[Volume]] = defaultdict(list)
    for volume in volumes.on_storage(call.world, call.node, storage.id):
        if volume.content != "backup" or volume.vmid is None:
            continue
        kind = rows.backup_kind(volume.volid)
        if call.params.get("vmid") in (None, volume.vmid) and call.params.get("type") in (None, kind):
            groups[kind, volume.vmid].append(volume)
    return groups


@handler("GET", "/nodes/{node}/storage/{storage}/prunebackups")
def prune_preview(call: Call) -> Any:
    storage = access.storage_of(call.world, call.params["storage"])
    plan = _plan(call, storage)
    out: list[dict[str, Any]] = []
    for (kind, vmid), group in _groups(call, storage).items():
        kept = retention.kept(plan, {volume.volid: volume.ctime for volume in group if not volume.protected})
        for volume in sorted(group, key=lambda volume: volume.ctime):
            mark = "protected" if volume.protected else "keep" if volume.volid in kept else "remove"
            out.append({"volid": volume.volid, "ctime": volume.ctime, "type": kind, "vmid": vmid, "mark": mark})
    return out


@handler("DELETE", "/nodes/{node}/storage/{storage}/prunebackups")
def prune(call: Call) -> Any:
    name, vmid = call.params["storage"], call.params.get("vmid")
    call.require(f"/storage/{name}", "Datastore.Allocate" if vmid is None else "Datastore.AllocateSpace")
    if vmid is not None:
        call.require(f"/vms/{vmid}", "VM.Backup")

    async def work(task: Any) -> None:
        try:
            storage = access.storage_of(call.world, name)
            plan = _plan(call, storage)
        except Refused as refusal:
            raise TaskFailed(refusal.message) from None
        for group in _groups(call, storage).values():
            kept = retention.kept(plan, {volume.volid: volume.ctime for volume in group if not volume.protected})
            for volume in group:
                if not volume.protected and volume.volid not in kept:
                    task.log(f"removing backup '{volume.volid}'")
                    volumes.remove(call.world, call.node, volume.volid)

    return call.start_task("prunebackups", f"{vmid}@{name}" if vmid is not None else name, work)


@handler("GET", "/nodes/{node}/storage/{storage}/file-restore/list")
def file_restore(call: Call) -> Any:
    storage, volume = call.params["storage"], call.params["volume"]
    text = volume if ":" in volume else f"{storage}:backup/{volume}"
    access.require_volume(call, None, text, "backup")
    raise Refused(500, f"storage '{storage}' is not a PBS storage - file-restore is not supported")
