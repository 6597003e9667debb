"""`DELETE`: a guest is destroyed with its disks, its pool and ACL entries, its firewall rules."""

from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import creation, drives, lookup, power
from app.lab.guests.firewall import scopes
from app.lab.state import Guest, World
from app.lab.storage import volumes
from app.lab.tasks import Task


def _free_disks(world: World, guest: Guest, *, unreferenced: bool) -> None:
    seen = [guest.config, *(snapshot.config for snapshot in guest.snapshots.values()), guest.pending]
    for values in seen:
        for _key, volid in drives.own_volumes(guest.kind, guest.vmid, values):
            volumes.remove(world, guest.node, volid)
    if unreferenced:
        volumes.free_all(world, guest.node, guest.vmid)


def linked_clone(world: World, guest: Guest) -> str | None:
    """The base volume of the guest that a linked clone on a file storage still rests on."""
    own = {volid.partition(":")[2]: volid for _key, volid in drives.own_volumes(guest.kind, guest.vmid, guest.config)}
    for volume in world.volumes.values():
        base = volume.parent if volume.volid.count("/") > 2 else None
        if base in own and own[base].startswith(f"{volume.storage}:"):
            return own[base]
    return None


def _forget_in_jobs(world: World, vmid: int) -> None:
    for job in world.backup_jobs.values():
        for key in ("vmid", "exclude"):
            if key in job:
                job[key] = ",".join(part for part in creation.split_lists(job[key]) if part != str(vmid))


async def remove(call: Call, task: Task, guest: Guest) -> None:
    """Everything that goes with a guest, within a task."""
    world = call.world
    lookup.require_writable(world, guest)
    if base := linked_clone(world, guest):
        raise TaskFailed(f"base volume '{base.partition(':')[2]}' is still in use by linked clones")
    await task.sleep(1)
    power.switch_off(world, guest)
    _free_disks(world, guest, unreferenced=bool(call.params.get("destroy-unreferenced-disks")))
    scopes.forget_guest(world, guest.vmid)
    if call.params.get("purge"):
        _forget_in_jobs(world, guest.vmid)
    await creation.leave_everything(world, guest.vmid)
    world.guests.pop(guest.vmid, None)


@handler("DELETE", "/nodes/{node}/qemu/{vmid}")
def destroy_vm(call: Call) -> Any:
    skip = lookup.require_root_skiplock(call)
    guest = lookup.guest_of(call, "qemu")
    vmid = guest.vmid
    if guest.config.get("protection"):
        raise Refused(500, f"can't remove VM {vmid} - protection mode enabled")
    if guest.status == "running":
        raise Refused(500, f"VM {vmid} is running - destroy failed")

    async def work(task: Task) -> None:
        async with locks.guest(call.world, "qemu", vmid):
            found = lookup.in_task(call.world, "qemu", call.node, vmid)
            if not skip and found.config.get("lock") != "suspended":
                lookup.unlocked_in_task(found)
            if found.status == "running":
                raise TaskFailed(f"VM {vmid} is running - destroy failed")
            await remove(call, task, found)

    return call.start_task("qmdestroy", str(vmid), work)


@handler("DELETE", "/nodes/{node}/lxc/{vmid}")
def destroy_ct(call: Call) -> Any:
    guest = lookup.guest_of(call, "lxc")
    vmid, force = guest.vmid, bool(call.params.get("force"))
    if guest.config.get("protection"):
        raise Refused(500, f"can't remove CT {vmid} - protection mode enabled")
    lookup.require_unlocked(guest)
    if guest.status == "running" and not force:
        raise Refused(500, f"unable to destroy CT {vmid} - container is running")

    async def work(task: Task) -> None:
        async with locks.guest(call.world, "lxc", vmid):
            found = lookup.in_task(call.world, "lxc", call.node, vmid)
            lookup.unlocked_in_task(found)
            if found.status == "running" and not force:
                raise TaskFailed(f"unable to destroy CT {vmid} - container is running")
            await remove(call, task, found)

    return call.start_task("vzdestroy", str(vmid), work)
