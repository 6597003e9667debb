"""Snapshots of guests: taken, listed, described, rolled back to, removed."""

from typing import Any

from app.lab import clock, locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import config, drives, features, lookup, pending, power
from app.lab.state import Guest, Snapshot, World
from app.lab.storage import volumes
from app.lab.tasks import Task

Values = dict[str, str | int]

_NOT_COPIED = frozenset({"lock", "description", "parent", "vmstate", "snaptime"})
_RESERVED = {"qemu": ("current", "pending"), "lxc": ("current", "pending", "vzdump")}


def _task_type(kind: str, name: str) -> str:
    return ("qm" if kind == "qemu" else "vz") + name


def _require_free_name(kind: str, name: str) -> None:
    for word in _RESERVED[kind]:
        if name == word or (kind == "qemu" and word == "pending" and name.lower() == word):
            raise Refused(500, f"unable to use snapshot name '{word}' (reserved name)")


def _row(kind: str, name: str, snapshot: Snapshot) -> dict[str, Any]:
    values = config.shown(kind, snapshot.config)
    row: dict[str, Any] = {"name": name, "description": values.get("description", ""), "snaptime": values["snaptime"]}
    if kind == "qemu":
        row["vmstate"] = int("vmstate" in values)
    return row | ({"parent": values["parent"]} if "parent" in values else {})


def _copied(values: Values) -> Values:
    return {key: value for key, value in values.items() if key not in _NOT_COPIED and not drives.is_unused(key)}


async def take(world: World, task: Task, guest: Guest, name: str, description: str, *, with_memory: bool) -> None:
    """Take a snapshot within a task."""
    lookup.require_writable(world, guest)
    if guest.config.get("template"):
        raise TaskFailed("you can't take a snapshot if it's a template")
    lookup.unlocked_in_task(guest)
    if name in guest.snapshots:
        raise TaskFailed(f"snapshot name '{name}' already used")
    if not features.has_snapshots(world, guest):
        raise TaskFailed("snapshot feature is not available")
    await task.sleep(1)
    values = _copied(guest.config) | {"snaptime": int(clock.now(world))}
    if description:
        values["description"] = description
    if "parent" in guest.config:
        values["parent"] = guest.config["parent"]
    if with_memory and guest.kind == "qemu" and guest.status == "running":
        values["vmstate"] = pending.save_memory(world, guest, f"vm-{guest.vmid}-state-{name}")
        values |= {"runningmachine": "pc-i440fx-10.1+pve0", "running-nets-host-mtu": " "}
        values["runningcpu"] = "kvm64,enforce,+kvm_pv_eoi,+kvm_pv_unhalt,+lahf_lm,+sep"
    guest.snapshots[name] = Snapshot(name=name, config=values, sizes=_sizes(world, guest))
    guest.config["parent"] = name


def _sizes(world: World, guest: Guest) -> dict[str, int]:
    """The sizes of the guest's volumes now, for the way back."""
    found = (
        (volid, volumes.find(world, guest.node, volid)) for _key, volid in drives.volumes(guest.kind, guest.config)
    )
    return {volid: volume.size for volid, volume in found if volume}


async def roll_back(world: World, task: Task, guest: Guest, name: str) -> bool:
    """Take the guest back to a snapshot within a task; whether it came back with its memory, and so runs."""
    lookup.require_writable(world, guest)
    if guest.config.get("template"):
        raise TaskFailed("you can't rollback if vm is a template")
    if name not in guest.snapshots:
        raise TaskFailed(f"snapshot '{name}' does not exist")
    lookup.unlocked_in_task(guest)
    await task.sleep(1)
    if guest.status == "running":
        power.switch_off(world, guest)
    snapshot = guest.snapshots[name]
    kept = {key: value for key, value in guest.config.items() if key == "description" or drives.is_unused(key)}
    guest.pending.clear()
    guest.pending_delete.clear()
    running = {"runningcpu", "runningmachine", "running-nets-host-mtu"}
    restored = {key: value for key, value in _copied(snapshot.config).items() if key not in running}
    used = {volid for _key, volid in drives.volumes(guest.kind, restored)}
    kept = {key: value for key, value in kept.items() if value not in used}
    left = [
        volid
        for volid in drives.image_volumes(guest.kind, guest.config)
        if volid not in drives.image_volumes(guest.kind, restored)
    ]
    guest.config = restored | kept | {"parent": name}
    for volid in left:
        if volid not in guest.config.values():
            guest.config[drives.free_unused(guest.config)] = volid
    for volid, size in snapshot.sizes.items():
        if volume := volumes.find(world, guest.node, volid):
            volume.size = size
    if "vmstate" in snapshot.config:
        power.switch_on(world, guest)
    return "vmstate" in snapshot.config


async def drop(world: World, task: Task, guest: Guest, name: str) -> None:
    """Remove a snapshot within a task; its children move to its parent."""
    lookup.require_writable(world, guest)
    if name not in guest.snapshots:
        raise TaskFailed(f"snapshot '{name}' does not exist")
    lookup.unlocked_in_task(guest)
    if guest.config.get("template"):
        raise TaskFailed("you can't delete a snapshot if vm is a template")
    await task.sleep(1)
    gone = guest.snapshots.pop(name)
    if state := gone.config.get("vmstate"):
        volumes.remove(world, guest.node, str(state))
    for values in (guest.config, *(snapshot.config for snapshot in guest.snapshots.values())):
        if values.get("parent") == name:
            values.pop("parent")
            if "parent" in gone.config:
                values["parent"] = gone.config["parent"]


def _register(kind: str) -> None:
    base = f"/nodes/{{node}}/{kind}/{{vmid}}/snapshot"

    def listing(call: Call) -> Any:
        guest = lookup.guest_of(call, kind)
        rows = [_row(kind, name, snapshot) for name, snapshot in guest.snapshots.items()]
        now: dict[str, Any] = {
            "name": "current",
            "description": "You are here!",
            "digest": config.digest(guest),
            "running": int(guest.status == "running"),
        }
        return [*rows, now | ({"parent": guest.config["parent"]} if "parent" in guest.config else {})]

    def create(call: Call) -> Any:
        name, vmid = call.params["snapname"], call.params["vmid"]
        _require_free_name(kind, name)
        if kind == "qemu":
            lookup.guest_of(call, kind)

        async def work(task: Task) -> None:
            async with locks.guest(call.world, kind, vmid):
                guest = lookup.in_task(call.world, kind, call.node, vmid)
                text = call.params.get("description", "")
                await take(call.world, task, guest, name, text, with_memory=bool(call.params.get("vmstate")))

        return call.start_task(_task_type(kind, "snapshot"), str(vmid), work)

    def rollback(call: Call) -> Any:
        vmid = call.params["vmid"]

        async def work(task: Task) -> None:
            async with locks.guest(call.world, kind, vmid):
                guest = lookup.in_task(call.world, kind, call.node, vmid)
                running = await roll_back(call.world, task, guest, call.params["snapname"])
            if call.params.get("start") and not running:
                power.start_later(call, kind, vmid)

        return call.start_task(_task_type(kind, "rollback"), str(vmid), work)

    def delete(call: Call) -> Any:
        vmid = call.params["vmid"]

        async def work(task: Task) -> None:
            async with locks.guest(call.world, kind, vmid):
                guest = lookup.in_task(call.world, kind, call.node, vmid)
                await drop(call.world, task, guest, call.params["snapname"])

        return call.start_task(_task_type(kind, "delsnapshot"), str(vmid), work)

    def find(call: Call) -> Snapshot:
        guest, name = lookup.guest_of(call, kind), call.params["snapname"]
        if name not in guest.snapshots:
            raise Refused(500, f"snapshot '{name}' does not exist")
        return guest.snapshots[name]

    def show(call: Call) -> Any:
        return config.shown(kind, find(call).config)

    def describe(call: Call) -> Any:
        if "description" in call.params:
            guest = lookup.guest_of(call, kind)
            lookup.require_unlocked(guest)
            lookup.require_writable(call.world, guest)
            find(call).config["description"] = call.params["description"]

    handler("GET", base)(listing)
    handler("POST", base)(create)
    handler("GET", f"{base}/{{snapname}}")(_index)
    handler("DELETE", f"{base}/{{snapname}}")(delete)
    handler("POST", f"{base}/{{snapname}}/rollback")(rollback)
    handler("GET", f"{base}/{{snapname}}/config")(show)
    handler("PUT", f"{base}/{{snapname}}/config")(describe)


def _index(_call: Call) -> Any:
    return [{"cmd": "rollback"}, {"cmd": "config"}]


for _kind in ("qemu", "lxc"):
    _register(_kind)
