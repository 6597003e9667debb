"""Guests of a call: found, unlocked, unchanged, or refused in PVE's words."""

from app.lab.call import Call, Refused, TaskFailed, require_writable_file
from app.lab.guests import config
from app.lab.state import Guest, World

FOLDERS = {"qemu": "qemu-server", "lxc": "lxc"}
NAMES = {"qemu": "VM", "lxc": "CT"}


def missing(kind: str, node: str, vmid: int) -> str:
    """What PVE says of a configuration that is not there."""
    return f"Configuration file 'nodes/{node}/{FOLDERS[kind]}/{vmid}.conf' does not exist"


def missing_vm(node: str, vmid: int) -> str:
    """The other text for it, of calls that look for a VM's file themselves."""
    return f"unable to find configuration file for VM {vmid} on node '{node}'"


def find(world: World, kind: str, node: str, vmid: int) -> Guest | None:
    """The guest of this kind on this node, if it is there."""
    guest = world.guests.get(vmid)
    return guest if guest and guest.kind == kind and guest.node == node else None


def guest_of(call: Call, kind: str) -> Guest:
    """The guest that the path names. Raises Refused 500 where it is not on this node."""
    vmid = call.params["vmid"]
    guest = find(call.world, kind, call.node, vmid)
    if guest is None:
        raise Refused(500, missing(kind, call.node, vmid))
    return guest


def in_task(world: World, kind: str, node: str, vmid: int) -> Guest:
    """The guest, within a task. Raises TaskFailed."""
    guest = find(world, kind, node, vmid)
    if guest is None:
        raise TaskFailed(missing(kind, node, vmid))
    return guest


def require_writable(world: World, guest: Guest) -> None:
    """Without quorum no guest's configuration can be written. Raises TaskFailed."""
    require_writable_file(world, f"nodes/{guest.node}/{FOLDERS[guest.kind]}/{guest.vmid}.conf")


def lock_text(guest: Guest) -> str | None:
    """`VM is locked (backup)`, or None where the guest is not locked."""
    lock = guest.config.get("lock")
    return f"{NAMES[guest.kind]} is locked ({lock})" if lock else None


def require_unlocked(guest: Guest) -> None:
    if text := lock_text(guest):
        raise Refused(500, text)


def unlocked_in_task(guest: Guest) -> None:
    if text := lock_text(guest):
        raise TaskFailed(text)


def require_digest(call: Call, guest: Guest) -> None:
    """A given digest must be the file's; an empty one is none."""
    given = call.params.get("digest")
    if given and given != config.digest(guest):
        raise Refused(500, config.stale_text(guest.kind))


def taken(world: World, vmid: int) -> str | None:
    """`CT 200 already exists on node 'n1'`, or None where the id is free. Ids are unique over nodes and kinds."""
    guest = world.guests.get(vmid)
    return f"{NAMES[guest.kind]} {vmid} already exists on node '{guest.node}'" if guest else None


def require_root_skiplock(call: Call) -> bool:
    """Whether `skiplock` was given; only root@pam may give it."""
    if not call.params.get("skiplock"):
        return False
    if not call.who.is_root:
        raise Refused.parameters({"skiplock": "Only root may use this option."})
    return True
