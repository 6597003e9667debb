"""`/nodes/{node}/storage/{storage}/content`: volumes listed, allocated, looked at, noted, freed."""

import re
from typing import Any

from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import sizes
from app.lab.numbers import number_of
from app.lab.state import Storage
from app.lab.storage import access, names, rows, volumes


@handler("GET", "/nodes/{node}/storage/{storage}/content")
def listing(call: Call) -> Any:
    storage = access.enabled(call.world, call.params["storage"], call.node)
    wanted, vmid, out = call.params.get("content"), call.params.get("vmid"), []
    allowed = access.contents(storage)
    for volume in volumes.on_storage(call.world, call.node, storage.id):
        if vmid is not None and volume.vmid != vmid:
            continue
        row = rows.content_row(call.world, volume)
        content = row["content"]
        if (wanted and content != wanted) or content not in allowed or not access.may_use(call, volume.volid):
            continue
        out.append(row)
    return out


def _size(text: str) -> int:
    """The size of a new volume: a bare number counts KiB."""
    kib = number_of(text)
    return kib * 1024 if kib is not None else sizes.size_of(text) or 0


def _image_name(storage: Storage, vmid: int, filename: str, wanted: str | None) -> str:
    """The volume name of a new image of this file name. Raises Refused 500 where the type forbids it."""
    if storage.type in names.FILE_TYPES:
        known = volumes.refuse_unreadable(storage, f"{vmid}/{filename}")
        if wanted and wanted != known.format:
            reason = f"wrong extension for format ('{known.format} != '{wanted}')"
            raise Refused(500, f"illegal name '{filename}' - {reason}")
        return f"{vmid}/{filename}"
    if not filename.startswith(f"vm-{vmid}-"):
        raise Refused(500, f"illegal name '{filename}' - should be 'vm-{vmid}-*'")
    if wanted not in (None, "raw"):
        raise Refused(500, f"unsupported format '{wanted}'")
    return filename


@handler("POST", "/nodes/{node}/storage/{storage}/content")
async def allocate(call: Call) -> Any:
    storage = access.enabled(call.world, call.params["storage"], call.node)
    filename, vmid, wanted = call.params["filename"], call.params["vmid"], call.params.get("format")
    if found := re.search(r"\.(raw|qcow2|vmdk)$", filename):
        if wanted not in (None, found[1]):
            raise Refused.parameters({"format": f"different storage formats ({wanted} != {found[1]})"})
        wanted = found[1]
    volname = _image_name(storage, vmid, filename, wanted)
    if volumes.find(call.world, call.node, f"{storage.id}:{volname}"):
        raise Refused(500, _already(storage, volname))
    async with volumes.lock(call.world, storage, call.node):
        return volumes.make(call.world, call.node, storage, volname, _size(call.params["size"])).volid


def _already(storage: Storage, volname: str) -> str:
    if storage.type in names.FILE_TYPES:
        return f"disk image '{names.path_of(storage.type, storage.options, volname)}' already exists"
    group = storage.options.get("vgname", "pve")
    return (
        f'lvcreate \'{group}/{volname}\' error:   Logical Volume "{volname}" already exists in volume group "{group}"'
    )


def _volid(call: Call) -> tuple[Storage, str]:
    """The storage and the full id of the `{volume}` of the path, with or without the storage's name."""
    given, name = call.params["volume"], call.params.get("storage")
    storage, sep, volname = given.partition(":")
    if not sep:
        return access.storage_of(call.world, name or ""), f"{name}:{given}"
    if name and storage != name:
        raise Refused.parameters({"volume": f"storage ID mismatch ({storage} != {name})\n"})
    return access.storage_of(call.world, storage), f"{storage}:{volname}"


@handler("GET", "/nodes/{node}/storage/{storage}/content/{volume}")
def show(call: Call) -> Any:
    storage, volid = _volid(call)
    volumes.refuse_unreadable(storage, volid.partition(":")[2])
    access.require_volume(call, None, volid)
    volume = volumes.find(call.world, call.node, volid)
    if volume is None:
        raise Refused(500, f"volume_size_info on '{volid}' failed - no format")
    # The image tool counts whole sectors of 512 bytes (facts.md section 10).
    size = -(-(volume.disk or volume.size) // 512) * 512
    shown: dict[str, Any] = {
        "path": names.path_of(storage.type, storage.options, volid.partition(":")[2]),
        "size": size,
        "used": volume.used,
        "format": volume.format if volume.content in ("images", "import") else "raw",
    }
    if volume.content == "backup":
        shown |= {"notes": volume.notes, "protected": int(volume.protected)}
    return shown


@handler("PUT", "/nodes/{node}/storage/{storage}/content/{volume}")
def annotate(call: Call) -> Any:
    storage, volid = _volid(call)
    known = volumes.refuse_unreadable(storage, volid.partition(":")[2])
    access.require_volume(call, None, volid)
    for option in ("notes", "protected"):
        if option in call.params:
            _require_backup(storage, known, option)
    volume = volumes.find(call.world, call.node, volid)
    if volume is None:
        raise Refused(500, f"unable to find volume '{volid}'")
    if "notes" in call.params:
        volume.notes = call.params["notes"]
    if "protected" in call.params:
        call.require(f"/storage/{storage.id}", "Datastore.Allocate", "Datastore.AllocateSpace", any_of=True)
        volume.protected = bool(call.params["protected"])


def _require_backup(storage: Storage, known: names.VolumeName, option: str) -> None:
    if storage.type not in names.FILE_TYPES and storage.type != "pbs":
        plugin = {"lvmthin": "LvmThin", "lvm": "LVM", "zfspool": "ZFSPool", "rbd": "RBD"}.get(storage.type, "LVM")
        if option == "notes":
            raise Refused(500, f"volume notes are not supported for PVE::Storage::{plugin}Plugin")
        raise Refused(500, f"attribute 'protected' is not supported for storage type '{storage.type}'")
    if known.content != "backup":
        text = "only backups can have notes" if option == "notes" else "only backups support attribute 'protected'"
        raise Refused(500, text)


@handler("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}")
async def free(call: Call) -> Any:
    storage, volid = _volid(call)
    known = volumes.refuse_unreadable(storage, volid.partition(":")[2])
    path = f"/storage/{storage.id}"
    if known.content == "backup" and known.vmid is not None:
        call.require(path, "Datastore.AllocateSpace")
        call.require(f"/vms/{known.vmid}", "VM.Backup")
    else:
        call.require(path, "Datastore.Allocate")

    async def work(task: Any) -> None:
        volume = volumes.find(call.world, call.node, volid)
        if volume and volume.protected:
            raise TaskFailed(f"cannot remove protected volume '{volid.partition(':')[2]}' on '{storage.id}'")
        if volume is None and known.content != "images":
            raise TaskFailed(
                f"unlink '{names.path_of(storage.type, storage.options, volid.partition(':')[2])}' "
                "failed: No such file or directory"
            )
        async with volumes.lock(call.world, storage, call.node):
            volumes.remove(call.world, call.node, volid)
        task.log(f"Removed volume '{volid}'")

    upid = call.start_task("imgdel", f"{known.vmid}@{storage.id}" if known.vmid else storage.id, work)
    return await call.wait_briefly(upid, call.params.get("delay", 0))


@handler("POST", "/nodes/{node}/storage/{storage}/content/{volume}")
def copy(call: Call) -> Any:
    """Copy a volume under another name or to another node (the schema lets only root@pam do that)."""
    storage, volid = _volid(call)
    target = call.params["target"]
    full = target if ":" in target else f"{storage.id}:{target}"
    node = call.params.get("target_node") or call.node

    async def work(task: Any) -> None:
        source = volumes.require_there(call.world, call.node, volid)
        try:
            other, _known = access.read_volume(call.world, full)
        except Refused as refusal:
            raise TaskFailed(refusal.message) from None
        async with volumes.lock(call.world, other, node):
            await task.sleep(1)
            volumes.make(call.world, node, other, full.partition(":")[2], source.size, used=source.used)

    return call.start_task("imgcopy", "", work)
