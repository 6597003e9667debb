"""`startall`, `stopall`, `suspendall`, `migrateall` of a node: one task that works through its guests."""

import dataclasses
from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import creation, migrate, power
from app.lab.state import Guest
from app.lab.tasks import Task


def _ids(call: Call) -> list[int]:
    return [int(part) for part in creation.split_lists(call.params.get("vms"))]


def _require(call: Call, privilege: str) -> None:
    """The privilege on every guest of the list, or on `/` where none is given."""
    ids = _ids(call)
    for vmid in ids:
        call.require(f"/vms/{vmid}", privilege)
    if not ids:
        call.require("/", privilege)


def _guests(call: Call) -> list[Guest]:
    ids = _ids(call)
    return [
        guest
        for guest in list(call.world.guests.values())
        if guest.node == call.node and (not ids or guest.vmid in ids)
    ]


async def _each(call: Call, task: Task, guests: list[Guest], act: Any) -> None:
    for guest in guests:
        try:
            await act(task, guest)
        except (TaskFailed, locks.LockTimeout) as failure:
            task.log(f"{guest.vmid}: {failure}")


@handler("POST", "/nodes/{node}/startall")
def start_all(call: Call) -> Any:
    _require(call, "VM.PowerMgmt")
    forced = bool(call.params.get("force"))

    async def act(task: Task, guest: Guest) -> None:
        if guest.status != "running" and not guest.config.get("template") and (guest.config.get("onboot") or forced):
            await power.start(call.world, task, guest.kind, call.node, guest.vmid)

    async def work(task: Task) -> None:
        await _each(call, task, _guests(call), act)

    return call.start_task("startall", "", work)


@handler("POST", "/nodes/{node}/stopall")
def stop_all(call: Call) -> Any:
    _require(call, "VM.PowerMgmt")

    async def act(task: Task, guest: Guest) -> None:
        if guest.status == "running":
            await power.stop(call.world, task, guest.kind, call.node, guest.vmid)

    async def work(task: Task) -> None:
        await _each(call, task, _guests(call), act)

    return call.start_task("stopall", "", work)


@handler("POST", "/nodes/{node}/suspendall")
def suspend_all(call: Call) -> Any:
    _require(call, "VM.PowerMgmt")

    async def work(_task: Task) -> None:
        for guest in _guests(call):
            guest.paused = guest.status == "running" and guest.kind == "qemu"

    return call.start_task("suspendall", "", work)


@handler("POST", "/nodes/{node}/migrateall")
def migrate_all(call: Call) -> Any:
    _require(call, "VM.Migrate")
    target = migrate.require_target(call)

    async def work(task: Task) -> None:
        for guest in _guests(call):
            task.log(f"migrating {guest.vmid} to {target}")
            one = dataclasses.replace(call, params={"vmid": guest.vmid, "target": target, "online": 1, "restart": 1})
            try:
                (migrate.migrate_vm if guest.kind == "qemu" else migrate.migrate_ct)(one)
            except Refused as refusal:
                task.log(f"{guest.vmid}: {refusal.message}")

    return call.start_task("migrateall", "", work)
