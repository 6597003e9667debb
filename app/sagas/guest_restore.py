"""A backup comes back: over the guest that it was taken of, or as a new guest beside it.

What is in the archive is read before PVE is asked to restore it: a container that was privileged, or a guest larger
than was claimed, is refused then. PVE 9.1 destroys a VM's disks before it makes the new ones; a restore that fails in
between leaves an empty configuration without our mark, in place of the guest that was there, or under the new number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import Conflict, PveAbsent, PveRefused
from app.domain.guests import GuestKind, owner_mark
from app.domain.identifiers import GuestName, NodeName, PoolId, StorageId, Upid, Volid
from app.operations import Again, Run, Saga, Step
from app.pve import Restore, marked
from app.sagas import guest, guest_snapshot
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.MadeParameters):
    """`volid` is the archive, on `node`. `storage` takes the disks; None: where they were. `disk_gb` GiB; with `memory`
    and `cores` what was claimed. `start`: the guest runs in the end."""

    volid: str
    storage: str | None
    disk_gb: int
    name: str
    start: bool = False


# -- functions

_WORK = ("vzrestore", "qmrestore")


def look(run: Run, p: Parameters) -> dict[str, Any]:
    """The archived guest's description goes on, below our mark. Raises PveAbsent where PVE has lost the archive,
    PveRefused where it holds what may not be restored."""
    try:
        kept = run.gateways.as_tenant(p.tenant).node(NodeName(p.node)).archived_config(Volid(p.volid))
    except PveRefused as error:
        # asked of the administrator's identity: a tenant without rights would be shown no archive that is there
        node = run.gateways.as_admin(p.cluster).node(NodeName(p.node))
        if any(row.volid == p.volid for row in node.storage_content(Volid(p.volid).storage, "backup")):
            raise
        gone = "Proxmox VE does not have this backup any more."
        raise PveAbsent(gone, code="backup.missing", remedy="Delete it.") from error
    guest.require_unprivileged(p, kept)
    if kept.template:
        raise Conflict("The backup is of a template.", code="guest.template", remedy="Clone the template.")
    size = kept.size
    if size["memory"] > p.memory or size["cores"] > p.cores or size["disk_gb"] > p.disk_gb:
        raise PveRefused("The archive holds a larger guest than the backup tells of.", code="backup.differs")
    return {"description": marked(kept.description, owner_mark(p.guest))}


def _wanted(run: Run, p: Parameters) -> Restore:
    storage = StorageId(p.storage) if p.storage is not None else None
    return Restore(archive=Volid(p.volid), storage=storage, description=run.outputs["looked"]["description"])


# -- as a new guest


def create(run: Run, p: Parameters) -> Upid | Again | None:
    """Dispatched before and then lost, or delivered twice: as when a guest is made. What an earlier try left half goes
    first."""
    if run.again and guest.look(run, p) is guest.Sight.HALF:
        left = guest.make_gone(run, p)
        if left is not None:
            return Again(left)
    wanted = dataclasses.replace(
        _wanted(run, p), pool=PoolId(p.poolid), name=GuestName(p.name), memory=p.memory, cores=p.cores
    )
    api = guest.api_of(run.gateways.as_tenant(p.tenant), p)
    task_type = "vzrestore" if p.kind == GuestKind.CT else "qmrestore"
    return guest.make_once(run, lambda: guest.created_before(run, p, task_type), lambda: api.restore(wanted))


def start(run: Run, p: Parameters) -> Upid | None:
    return guest.start(run, p) if p.start else None


# -- in place


def restore(run: Run, p: Parameters) -> Upid:
    """The same however often it is done: nobody else works on the guest, and it does not run."""
    if run.again and (lost := guest.under_way(run, p, *_WORK)) is not None:
        return lost
    upid: Upid = guest.as_tenant(run, p).restore(_wanted(run, p))
    return upid


def verify(run: Run, p: Parameters) -> None:
    guest.require_unprivileged(p, guest.as_tenant(run, p).config())


def settle(run: Run, p: Parameters) -> None:
    """The guest is what the archive was: size, name and tags with what is charged for them. It has no snapshots."""
    guest_snapshot.settle(run, p)
    guest_snapshot.note(run, p)


def settle_as_it_is(run: Run, p: Parameters) -> Upid | Mapping[str, Any] | None:
    """The undo: nothing can be taken back, so what the guest has become is written down. Of one that lost its disks
    the empty rest is marked as ours, so that it can be restored once more or deleted, and the error says so."""
    if (working := guest.under_way(run, p, *_WORK)) is not None:
        return working
    if guest.look(run, p) is guest.Sight.HALF:
        # of a container PVE leaves no such rest
        left: dict[str, str | int] = {"name": p.name, "memory": p.memory, "cores": p.cores}
        guest.as_tenant(run, p).update({"description": owner_mark(p.guest), **left})
    settled = guest_snapshot.settle_as_it_is(run, p)
    if settled is not None or guest.look(run, p) is not guest.Sight.OURS:
        return settled
    guest_snapshot.note_as_it_is(run, p)
    if guest.as_admin(run, p).config().disks:
        return None
    return {"lost": ["disks"], "remedy": "Its disks are gone: restore it once more, or delete it."}


# -- definition


def restore_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.restore",
        Parameters,
        steps=(
            Step("claimed", undo=settle_as_it_is),
            Step("looked", look),
            Step("restored", restore, calls=(will("POST /nodes/{p.node}/{kind}"),)),
            Step("verified", verify),
            Step("tagged", guest.tag, calls=(may("PUT {guest}/config", lambda p: p.vlan is not None),)),
            Step("started", start, calls=(will("POST {guest}/status/start", lambda p: p.start),)),
            Step("settled", settle),
        ),
        result=guest.result,
        point_of_no_return="restored",
    )


def restore_as_new_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.restore_as_new",
        Parameters,
        steps=(
            Step("reserved", undo=guest.release),
            Step("looked", look),
            Step("created", create, undo=guest.make_gone, calls=(will("POST /nodes/{p.node}/{kind}"),)),
            Step("verified", guest.check_made),
            Step("tagged", guest.tag, calls=(may("PUT {guest}/config", lambda p: p.vlan is not None),)),
            Step("started", start, calls=(will("POST {guest}/status/start", lambda p: p.start),)),
            Step("active", settle),
        ),
        result=guest.result,
    )


RESTORES = {kind: restore_of(kind) for kind in GuestKind}
RESTORES_AS_NEW = {kind: restore_as_new_of(kind) for kind in GuestKind}
