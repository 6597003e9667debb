"""What a guest's disks can do: snapshots, linked clones, copies (`GET feature`)."""

from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import drives, lookup
from app.lab.state import Guest, World
from app.lab.storage import access, names, volumes


def _can_snapshot(world: World, volid: str) -> bool:
    storage, known = access.read_volume(world, volid)
    return volumes.has_snapshots(storage, known.format)


def can_link(world: World, guest: Guest, volid: str, *, snapshot: bool = False) -> bool:
    """Whether a linked clone of the volume can be made: of base images, and of snapshots on thin storages."""
    storage, known = access.read_volume(world, volid)
    if not volumes.has_snapshots(storage, known.format) and not known.name.startswith("base-"):
        return False
    if snapshot:
        return storage.type in names.THIN_TYPES
    return known.name.startswith("base-") or bool(guest.config.get("template"))


def has_snapshots(world: World, guest: Guest) -> bool:
    """Whether all disks of the guest take snapshots."""
    return all(_can_snapshot(world, volid) for volid in drives.image_volumes(guest.kind, guest.config))


def _has(world: World, guest: Guest, feature: str, snapname: str | None) -> bool:
    values = guest.snapshots[snapname].config if snapname else guest.config
    if feature == "copy":
        return True
    if feature == "clone":
        return all(
            can_link(world, guest, volid, snapshot=snapname is not None)
            for volid in drives.image_volumes(guest.kind, values)
        )
    return all(_can_snapshot(world, volid) for volid in drives.image_volumes(guest.kind, values))


def _require_snapshot(call: Call, guest: Guest) -> str | None:
    name: str | None = call.params.get("snapname")
    if name is not None and name not in guest.snapshots:
        raise Refused(500, f"snapshot '{name}' does not exist")
    return name


@handler("GET", "/nodes/{node}/qemu/{vmid}/feature")
def vm_feature(call: Call) -> Any:
    guest = lookup.find(call.world, "qemu", call.node, call.params["vmid"])
    if guest is None:
        raise Refused(500, lookup.missing_vm(call.node, call.params["vmid"]))
    has = _has(call.world, guest, call.params["feature"], _require_snapshot(call, guest))
    shared = all(
        access.is_shared(access.read_volume(call.world, volid)[0])
        for volid in drives.image_volumes(guest.kind, guest.config)
    )
    return {"hasFeature": int(has), "nodes": list(call.world.nodes) if shared else [guest.node]}


@handler("GET", "/nodes/{node}/lxc/{vmid}/feature")
def ct_feature(call: Call) -> Any:
    guest = lookup.guest_of(call, "lxc")
    return {"hasFeature": int(_has(call.world, guest, call.params["feature"], _require_snapshot(call, guest)))}
