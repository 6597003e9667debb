"""Changes of a guest's configuration carried out: at once, or at the next start."""

from collections.abc import Mapping

from app.lab.guests import disks, drives
from app.lab.state import Guest, World
from app.lab.storage import access, names, volumes

_MIB = 1 << 20


def carry_out(world: World, guest: Guest, changes: Mapping[str, str | int], delete: Mapping[str, int]) -> None:
    """Apply settled changes to the running configuration; `delete` maps options to 1, or 2 to free their volume."""
    for key, force in delete.items():
        guest.pending.pop(key, None)
        guest.pending_delete.pop(key, None)
        if key not in guest.config:
            continue
        if drives.is_unused(key):
            volid = str(guest.config.pop(key))
            disks.free(world, guest, volid)
        elif drives.is_disk(guest.kind, key):
            disks.detach(world, guest, key, force=force > 1)
        else:
            del guest.config[key]
            _drop_boot_device(guest, key)
    for key, value in changes.items():
        guest.pending.pop(key, None)
        guest.pending_delete.pop(key, None)
        if drives.is_disk(guest.kind, key) and key != "rootfs":
            disks.attach(world, guest, key, str(value))
        else:
            guest.config[key] = value
    guest.template = bool(guest.config.get("template"))


def _drop_boot_device(guest: Guest, key: str) -> None:
    if key.startswith("net") and "boot" in guest.config:
        guest.config["boot"] = drives.without_boot_device(str(guest.config["boot"]), key)


def _is_there(world: World, guest: Guest, key: str, value: str | int) -> bool:
    """Whether a value can be applied: the volume of a container's mount point may not have been made."""
    if guest.kind != "lxc" or not drives.is_mount(key):
        return True
    volid = drives.volume_of("lxc", key, value)
    return volid is None or volumes.find(world, guest.node, volid) is not None


def apply(world: World, guest: Guest) -> None:
    """Apply what waited for the next start; mount points without a volume go on waiting."""
    changes, delete = dict(guest.pending), dict(guest.pending_delete)
    waiting = {key: value for key, value in changes.items() if not _is_there(world, guest, key, value)}
    changes = {key: value for key, value in changes.items() if key not in waiting}
    guest.pending.clear()
    guest.pending_delete.clear()
    carry_out(world, guest, changes, delete)
    guest.pending.update(waiting)


def memory_mib(guest: Guest) -> int:
    return int(str(guest.config.get("memory", 512)).removeprefix("current="))


def save_memory(world: World, guest: Guest, name: str, storage_id: str | None = None) -> str:
    """Write the memory of a running VM to a storage, as a volume of twice its memory and 500 MiB; the volume's id."""
    storage = access.in_task(world, storage_id or state_storage(world, guest), guest.node)
    suffix = ".raw" if storage.type in names.FILE_TYPES else ""
    size = (2 * memory_mib(guest) + 500) * _MIB
    volname = names.image_name(storage.type, guest.vmid, name + suffix)
    return volumes.make(world, guest.node, storage, volname, size, used=memory_mib(guest) * _MIB).volid


def state_storage(world: World, guest: Guest) -> str:
    """Where the memory of a VM goes unless somebody says otherwise."""
    return str(guest.config.get("vmstatestorage") or _first_image_storage(world, guest))


def _first_image_storage(world: World, guest: Guest) -> str:
    for key, volid in drives.own_volumes(guest.kind, guest.vmid, guest.config):
        if not drives.is_unused(key):
            return volid.partition(":")[0]
    return next(
        (s.id for s in world.storages.values() if "images" in access.contents(s) and access.on_node(s, guest.node)),
        "local",
    )
