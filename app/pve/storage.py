"""/nodes/{node}/storage: what a node can store, and what lies there."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.identifiers import MalformedIdentifier, NodeName, StorageId, Upid, VmId, Volid
from app.pve.answers import Row, rows, upid
from app.pve.speaking import Speaker


@dataclass(frozen=True)
class NodeStorage:
    """`total`, `used`, `avail` bytes."""

    storage: StorageId
    type: str
    content: frozenset[str]
    active: bool
    enabled: bool
    shared: bool
    total: int
    used: int
    avail: int


@dataclass(frozen=True)
class VolumeRow:
    """`size` bytes; `ctime` seconds of epoch; `vmid` of the guest it belongs to."""

    volid: Volid
    content: str
    format: str
    size: int
    vmid: VmId | None
    ctime: int | None
    notes: str
    protected: bool


def storages(client: Speaker, node: NodeName) -> list[NodeStorage]:
    return [_storage(row) for row in rows(client.get(("nodes", node, "storage")))]


def storage_content(
    client: Speaker, node: NodeName, storage: StorageId, content: str | None, vmid: VmId | None
) -> list[VolumeRow]:
    """Volumes whose name is no `Volid`, which nothing here could name again, are left out."""
    answer = client.get(
        ("nodes", node, "storage", StorageId.parse(storage), "content"),
        {"content": content, "vmid": None if vmid is None else VmId.parse(vmid)},
    )
    found = []
    for row in rows(answer):
        try:
            found.append(_volume(row))
        except MalformedIdentifier:
            continue
    return found


def volume_size(client: Speaker, node: NodeName, volid: Volid) -> int:
    """Of a disk image what it is inside, not how long its file is, which lists tell (PVE 9.1)."""
    volid = Volid.parse(volid)
    path = ("nodes", node, "storage", volid.storage, "content", *volid.split("/"))
    return Row(client.get(path)).number("size")


def delete_volume(client: Speaker, node: NodeName, volid: Volid) -> Upid | None:
    """`imgdel`; None where PVE was done before it answered."""
    volid = Volid.parse(volid)
    answer = client.delete(("nodes", node, "storage", volid.storage, "content", *volid.split("/")))
    return None if answer is None else upid(answer)


def _storage(row: Row) -> NodeStorage:
    return NodeStorage(
        storage=row.identifier("storage", StorageId),
        type=row.text("type"),
        content=frozenset(row.words("content")),
        active=row.flag("active"),
        enabled=row.flag("enabled"),
        shared=row.flag("shared"),
        total=row.number("total"),
        used=row.number("used"),
        avail=row.number("avail"),
    )


def _volume(row: Row) -> VolumeRow:
    return VolumeRow(
        volid=Volid.parse(row.text("volid")),
        content=row.text("content"),
        format=row.text("format"),
        size=row.number("size"),
        vmid=row.vmid() if row.number("vmid") else None,
        ctime=row.number("ctime") or None,
        notes=row.text("notes"),
        protected=row.flag("protected"),
    )
