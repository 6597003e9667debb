"""Backups of a guest, of both kinds: taken and deleted, with the tenant's own token.

An archive is found among those of its guest by our mark in its notes until its name is known. What is listed to
somebody without rights on the guest is nothing at all, so whether an archive is there is asked with the administrator's
identity; what is done to it is the tenant's to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.db import backups, guests
from app.domain.backups import BackupMode, BackupState, Compression, backup_mark
from app.domain.errors import PveTaskFailed
from app.domain.guests import GuestKind
from app.domain.identifiers import NodeName, StorageId, Upid, VmId
from app.operations import Again, Run, Saga, Step
from app.pve import VolumeRow
from app.sagas import guest
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`backup` is the id of its row; it lies, or will lie, on `storage` of `on_node`. `volid` once it is known."""

    backup: str
    storage: str
    on_node: str
    volid: str | None = None
    mode: str = BackupMode.SNAPSHOT
    compress: str = Compression.ZSTD
    notes: str = ""


# -- functions


def take(run: Run, p: Parameters) -> Upid | None:
    """Not of a privileged container: in mode `stop` PVE would start it again, and nobody could restore it."""
    guest.require_unprivileged(p, guest.as_tenant(run, p).config())
    if run.again:
        if (lost := guest.under_way(run, p, "vzdump")) is not None:
            return lost
        if archive(run, p) is not None:
            return None
    node = run.gateways.as_tenant(p.tenant).node(NodeName(p.on_node))
    upid: Upid = node.back_up(
        VmId(p.vmid), storage=StorageId(p.storage), mode=BackupMode(p.mode), compress=Compression(p.compress),
        notes=f"{backup_mark(p.backup)}\n{p.notes}".rstrip(),
    )  # fmt: skip
    return upid


def drop(run: Run, p: Parameters) -> Upid | None:
    """The undo of the taking: what came of it goes."""
    if (working := guest.under_way(run, p, "vzdump")) is not None:
        return working
    return remove(run, p)


def remove(run: Run, p: Parameters) -> Upid | None:
    found = archive(run, p)
    if found is None:
        return None
    if run.again and (lost := _going(run, p)) is not None:
        return lost
    freed: Upid | None = run.gateways.as_tenant(p.tenant).node(NodeName(p.on_node)).delete_volume(found.volid)
    return freed


def _going(run: Run, p: Parameters) -> Upid | None:
    """PVE's task that frees an archive of this guest, while it runs."""
    rows = run.gateways.as_tenant(p.tenant).node(NodeName(p.on_node)).tasks(source="active")
    return next((row.upid for row in rows if row.type == "imgdel" and row.id == f"{p.vmid}@{p.storage}"), None)


def archive(run: Run, p: Parameters) -> VolumeRow | None:
    """The archive as it lies there; None where it does not."""
    node = run.gateways.as_admin(p.cluster).node(NodeName(p.on_node))
    rows: list[VolumeRow] = node.storage_content(StorageId(p.storage), "backup", VmId(p.vmid))
    if p.volid is not None:
        return next((row for row in rows if row.volid == p.volid), None)
    mark = backup_mark(p.backup)
    return next((row for row in rows if row.notes.splitlines()[:1] == [mark]), None)


def note(run: Run, p: Parameters) -> None:
    """The row as the archive is, with the size of the guest that is in it, which may be an older one than it has now:
    what waits for a VM's next start is in no archive. Raises PveTaskFailed where PVE has lost it."""
    found = archive(run, p)
    if found is None:
        raise PveTaskFailed("The archive that PVE has made is not on the storage.", remedy="Take the backup again.")
    kept = run.gateways.as_tenant(p.tenant).node(NodeName(p.on_node)).archived_config(found.volid).size
    seen = guest.read_back(p, guest.as_tenant(run, p))
    with run.db.begin() as tx:
        row, owner = backups.get(tx, p.backup), guests.get(tx, p.guest)
        if row is None or owner is None:
            return
        row.volid, row.size, row.state = found.volid, found.size, BackupState.READY
        row.cores, row.memory, row.disk_gb = kept["cores"] or owner.cores, kept["memory"], kept["disk_gb"]
        guest.write_back(tx, p, seen)


def forget(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        owner = guests.get(tx, p.guest)
        if owner is not None:
            backups.forget(tx, owner, p.backup)


def forget_what_failed(run: Run, p: Parameters) -> None:
    """The undo of the claim. A guest that was to be stopped meanwhile is shown as it is now."""
    forget(run, p)
    guest.settle_back(run, p)


def keep(run: Run, p: Parameters) -> Upid | None:
    """The undo of a mark: it is shown again, unless it went nevertheless."""
    if (working := _going(run, p)) is not None:
        return working
    if archive(run, p) is None:
        forget(run, p)
        return None
    with run.db.begin() as tx:
        row = backups.get(tx, p.backup)
        if row is not None:
            row.state = BackupState.READY
    return None


def purge(run: Run, p: guest.GuestParameters) -> Again | None:
    """All archives of a guest go, one after the other, and their rows with them; for who deletes it so."""
    while True:
        with run.db.read() as tx:
            row = next(iter(backups.of_guest(tx, p.guest)), None)
        if row is None:
            return None
        one = of_row(vars(p), row)
        task = remove(run, one)
        if task is not None:
            return Again(task)
        forget(run, one)


def keep_what_is_left(run: Run, p: guest.GuestParameters) -> Upid | None:
    """The undo of a purge: what has gone is gone."""
    with run.db.read() as tx:
        rows = backups.of_guest(tx, p.guest)
    return next((task for row in rows if (task := keep(run, of_row(vars(p), row))) is not None), None)


def of_row(target: Mapping[str, Any], row: Any) -> Parameters:
    """The parameters for a backup that has a row; `target` has those of its guest, and may have others."""
    known = {name: value for name, value in target.items() if name in guest.GuestParameters.__dataclass_fields__}
    return Parameters(**known, backup=row.id, storage=row.storage, on_node=row.node, volid=row.volid)


def result(run: Run, p: Parameters) -> dict[str, Any]:
    with run.db.read() as tx:
        row = backups.get(tx, p.backup)
        shown = backups.document(row) if row is not None else None
        return {**guest.result(run, p), "backup": shown}


# -- definition


def backup_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.backup",
        Parameters,
        steps=(
            Step("reserved", undo=forget_what_failed),
            Step("taken", take, undo=drop, calls=(will("POST /nodes/{p.on_node}/vzdump"),)),
            Step("noted", note),
        ),
        result=result,
    )


def removal_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.delete_backup",
        Parameters,
        steps=(
            Step("marked", undo=keep),
            Step("removed", remove, calls=(may("DELETE /nodes/{p.on_node}/storage/{p.storage}/content/{p.volid}"),)),
            Step("forgotten", forget),
        ),
        result=guest.result,
        point_of_no_return="removed",
    )


BACKUPS = {kind: backup_of(kind) for kind in GuestKind}
REMOVALS = {kind: removal_of(kind) for kind in GuestKind}
