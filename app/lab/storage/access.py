"""Storages and volumes of a call: found, enabled, allowed to the caller (libpve-storage 9: check_volume_access)."""

from app.lab.call import Call, Refused, TaskFailed
from app.lab.state import Storage, World
from app.lab.storage import names


def storage_of(world: World, storage: str) -> Storage:
    """The definition. Raises Refused 500 where there is none."""
    found = world.storages.get(storage)
    if found is None:
        raise Refused(500, f"storage '{storage}' does not exist")
    return found


def contents(storage: Storage) -> set[str]:
    """The content types that the definition allows."""
    return {part for part in str(storage.options.get("content", "")).split(",") if part}


def on_node(storage: Storage, node: str) -> bool:
    """Whether the definition counts on the node and is switched on."""
    nodes = str(storage.options.get("nodes", "")).split(",")
    return not storage.options.get("disable") and (nodes == [""] or node in nodes)


def is_shared(storage: Storage) -> bool:
    return bool(storage.options.get("shared")) or storage.type in ("nfs", "cifs", "pbs", "rbd", "cephfs", "iscsi")


def enabled(world: World, storage: str, node: str) -> Storage:
    """The definition, usable on the node. Raises Refused 500."""
    found = storage_of(world, storage)
    if found.options.get("disable"):
        raise Refused(500, f"storage '{storage}' is disabled")
    if not on_node(found, node):
        raise Refused(500, f"storage '{storage}' is not available on node '{node}'")
    return found


def require_content(world: World, storage: str, content: str, text: str) -> None:
    """The storage may hold this content. Raises Refused 400 with the text."""
    if content not in contents(storage_of(world, storage)):
        raise Refused.parameters({"storage": text})


def read_volume(world: World, volid: str) -> tuple[Storage, names.VolumeName]:
    """The storage and the meaning of a volume id. Raises Refused 500 in PVE's words."""
    parts = names.split(volid)
    if parts is None:
        raise Refused(500, f"unable to parse volume ID '{volid}'")
    storage = storage_of(world, parts[0])
    try:
        return storage, names.read(storage.type, parts[1])
    except names.UnreadableName as error:
        raise Refused(500, str(error)) from None


def content_of(world: World, volid: str) -> str | None:
    """images, iso, vztmpl, backup ...; None for paths of the host."""
    return read_volume(world, volid)[1].content if names.split(volid) else None


def require_volume(call: Call, vmid: int | None, volid: str, content: str | None = None) -> None:
    """The caller may use the volume for the guest `vmid` (0 or None: for none). Raises Refused."""
    if names.split(volid) is None:
        if not call.who.is_root:
            raise Refused(500, "Only root can pass arbitrary filesystem paths.")
        return
    storage, known = read_volume(call.world, volid)
    path = f"/storage/{storage.id}"
    if content and known.content not in (content, "images"):
        raise Refused(500, f"unable to use volume {volid} - content type '{known.content}' does not fit '{content}'")
    if call.has(path, "Datastore.Allocate"):
        return
    if known.content in ("iso", "vztmpl", "import"):
        call.require(path, "Datastore.AllocateSpace", "Datastore.Audit", any_of=True)
    elif known.vmid is not None and vmid == known.vmid:
        return
    elif known.content == "backup" and known.vmid is not None:
        call.require(path, "Datastore.AllocateSpace")
        call.require(f"/vms/{known.vmid}", "VM.Backup")
    elif known.content == "images" and known.vmid is not None:
        call.require(path, "Datastore.Audit")
        call.require(f"/vms/{known.vmid}", "VM.Config.Disk")
    else:
        raise Refused(500, f"missing privileges to access {volid}")


def may_use(call: Call, volid: str) -> bool:
    """require_volume as a question, for lists."""
    try:
        require_volume(call, None, volid)
    except Refused:
        return False
    return True


def in_task(world: World, storage: str, node: str) -> Storage:
    """enabled, within a task. Raises TaskFailed."""
    try:
        return enabled(world, storage, node)
    except Refused as refusal:
        raise TaskFailed(refusal.message) from None
