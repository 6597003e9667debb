"""What making a guest has in common, whatever its kind and whether it is new, cloned or restored."""

from app.lab import clock, locks
from app.lab.call import Call, Refused, TaskFailed
from app.lab.guests import disks, drives
from app.lab.state import Guest, World
from app.lab.tasks import Task


def reserve(world: World, kind: str, node: str, vmid: int, lock: str = "create") -> Guest:
    """The guest's file with nothing but its lock in it, so that no one else takes the id."""
    guest = Guest(vmid=vmid, kind=kind, node=node, config={"lock": lock})
    world.guests[vmid] = guest
    return guest


def discard(world: World, guest: Guest) -> None:
    """Undo a reservation: the file and what was allocated for it."""
    for _key, volid in drives.own_volumes(guest.kind, guest.vmid, guest.config):
        disks.free_made(world, guest.node, [volid])
    world.guests.pop(guest.vmid, None)


async def join_pool(world: World, vmid: int, pool: str | None) -> None:
    """Put the guest into its pool, as the last step of its making.

    Where user.cfg stays locked the task fails and the guest is left complete, outside any pool (facts.md section 12).
    """
    if pool is None:
        return
    try:
        async with locks.take(world, "user.cfg", 10):
            if pool not in world.pools:
                raise TaskFailed(f"can't add VM {vmid} to pool '{pool}': pool '{pool}' does not exist")
            for other in world.pools.values():
                other.vms.discard(vmid)
            world.pools[pool].vms.add(vmid)
            world.access_changed()
    except locks.LockTimeout as timeout:
        raise TaskFailed(f"can't add VM {vmid} to pool '{pool}': {timeout}") from None


async def leave_everything(world: World, vmid: int) -> None:
    """Take a destroyed guest out of its pool and the ACLs; waits for user.cfg as long as it takes."""
    async with locks.take(world, "user.cfg", None):
        for pool in world.pools.values():
            pool.vms.discard(vmid)
        world.forget_acl_path(f"/vms/{vmid}")
        world.access_changed()


def split_lists(text: object) -> list[str]:
    """A list parameter: parts between commas, semicolons or blanks."""
    return [part for part in str(text or "").replace(",", " ").replace(";", " ").split() if part]


def require_quorum(call: Call) -> None:
    """Nothing is made without quorum (facts.md section 13)."""
    if not call.world.cluster.quorate:
        raise Refused(500, "cluster not ready - no quorum?")


def note_volume(task: Task, world: World, value: str) -> None:
    """The line that LVM prints for a new volume."""
    name = value.partition(",")[0].rpartition(":")[2]
    if name.startswith("vm-"):
        task.log(f'  Logical volume "{name}" created.')


def created_at(world: World) -> int:
    """The second that a new VM's `meta` records."""
    return int(clock.now(world))
