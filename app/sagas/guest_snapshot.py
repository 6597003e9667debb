"""Snapshots of a guest, of both kinds: taken, removed, rolled back to.

PVE says which snapshots there are: the rows are read from it at the end of each operation, and what is charged is their
number. A rollback brings back the size that the guest had, which was claimed before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.db import guests, quota, snapshots
from app.db.models import Guest, Snapshot
from app.db.session import Tx
from app.domain.errors import Conflict
from app.domain.guests import GuestKind
from app.domain.identifiers import SnapshotName, Upid
from app.domain.quota import Dimension
from app.domain.snapshots import SnapshotState
from app.operations import Run, Saga, Step
from app.pve import GuestApi, GuestConfig, SnapshotRow
from app.sagas import guest
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`start`: the guest runs when it has been rolled back, as it did before."""

    name: str
    description: str = ""
    vmstate: bool = False
    start: bool = False


# -- functions

_WORK = ("vzsnapshot", "qmsnapshot", "vzdelsnapshot", "qmdelsnapshot", "vzrollback", "qmrollback")


def look(run: Run, p: Parameters) -> None:
    """What has this name in PVE already is not ours to remove, should the taking fail."""
    if p.name in _names(run, p):
        raise Conflict("A snapshot of this name exists.", code="snapshot.exists")


def take(run: Run, p: Parameters) -> Upid | None:
    if run.again:
        if (lost := guest.under_way(run, p, "vzsnapshot", "qmsnapshot")) is not None:
            return lost
        if p.name in _names(run, p):
            return None
    return guest.as_tenant(run, p).take_snapshot(SnapshotName(p.name), description=p.description, vmstate=p.vmstate)


def drop(run: Run, p: Parameters) -> Upid | None:
    """What was taken, or half of it."""
    if guest.look(run, p) is not guest.Sight.OURS:
        return None
    if (working := guest.under_way(run, p, *_WORK)) is not None:
        return working
    if p.name not in _names(run, p):
        return None
    return guest.as_tenant(run, p).delete_snapshot(SnapshotName(p.name), force=True)


def remove(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, "vzdelsnapshot", "qmdelsnapshot")) is not None:
        return lost
    if p.name not in _names(run, p):
        return None
    return guest.as_tenant(run, p).delete_snapshot(SnapshotName(p.name))


def roll_back(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, "vzrollback", "qmrollback")) is not None:
        return lost
    return guest.as_tenant(run, p).roll_back(SnapshotName(p.name))


def start(run: Run, p: Parameters) -> Upid | None:
    return guest.start(run, p) if p.start else None


def note(run: Run, p: guest.GuestParameters) -> None:
    """Rows and ledger as PVE has it now."""
    _note(run, p, guest.as_tenant(run, p))


def note_as_it_is(run: Run, p: guest.GuestParameters) -> Upid | None:
    """The undo of a mark, once PVE works on it no more: read by the administrator's identity, as the tenant's may see
    nothing of the guest any more. Of one that is gone nothing that was only begun is left."""
    if (working := guest.under_way(run, p, *_WORK)) is not None:
        return working
    _note(run, p, guest.as_admin(run, p) if guest.look(run, p) is guest.Sight.OURS else None)
    return None


def _note(run: Run, p: guest.GuestParameters, api: GuestApi | None) -> None:
    listed: dict[str, SnapshotRow] | None = None
    sizes: dict[str, Mapping[str, int]] = {}
    if api is not None:
        listed = {one.name: one for one in api.snapshots()}
        with run.db.read() as tx:
            new = listed.keys() - {row.name for row in snapshots.of_guest(tx, p.guest)}
        sizes = {name: api.snapshot_config(SnapshotName(name)).size for name in new}
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is None:
            return
        there = {snapshot.name: snapshot for snapshot in snapshots.of_guest(tx, p.guest)}
        for snapshot in there.values():
            if snapshot.name not in listed if listed is not None else snapshot.state == SnapshotState.CREATING:
                tx.delete(snapshot)
        for name, one in (listed or {}).items():
            snapshot = there.get(name) or _added(tx, row, name, sizes[name])
            snapshot.description, snapshot.vmstate, snapshot.parent = one.description.strip(), one.vmstate, one.parent
            snapshot.state = SnapshotState.READY
            snapshot.created_at = datetime.fromtimestamp(one.taken_at, UTC)
        tx.flush()
        if count := len(snapshots.of_guest(tx, p.guest)):
            quota.allocate(tx, row, {Dimension.SNAPSHOTS: count})
        else:
            quota.release(tx, row.tenant_id, row.id, (Dimension.SNAPSHOTS,))


def settle(run: Run, p: guest.GuestParameters) -> None:
    """The guest is what the snapshot was: size, name and tags with what is charged for them."""
    api = guest.as_tenant(run, p)
    _settle(run, p, api.config(), guest.read_back(p, api))


def _settle(run: Run, p: guest.GuestParameters, config: GuestConfig, seen: Mapping[str, Any]) -> None:
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is None:
            return
        row.name, row.tags = config.name or row.name, list(config.tags)
        size = _charged(row, config.size)
        for dimension, amount in size.items():
            setattr(row, dimension, amount)
        quota.allocate(tx, row, {Dimension(dimension): amount for dimension, amount in size.items()})
        guest.write_back(tx, p, seen)


def settle_as_it_is(run: Run, p: guest.GuestParameters) -> Upid | None:
    """The undo of a rollback: there is none, so what the guest has become is written down."""
    if (working := guest.under_way(run, p, *_WORK)) is not None:
        return working
    if guest.look(run, p) is guest.Sight.OURS:
        _settle(run, p, guest.as_admin(run, p).config(), guest.read_back_as_it_is(run, p))
    else:
        guest.settle_back(run, p)
    return None


def _charged(row: Guest, size: Mapping[str, int]) -> Mapping[str, int]:
    """A container without a limit has all cores of its node, which is what its row says."""
    return {**size, "cores": size["cores"] or row.cores}


def _names(run: Run, p: Parameters) -> set[str]:
    return {one.name for one in guest.as_tenant(run, p).snapshots()}


def _added(tx: Tx, row: Guest, name: str, size: Mapping[str, int]) -> Snapshot:
    added = Snapshot(guest_id=row.id, name=name, **_charged(row, size))
    tx.add(added)
    return added


def result(run: Run, p: Parameters) -> dict[str, Any]:
    return {**guest.result(run, p), "snapshot": p.name}


# -- definition


def snapshot_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.snapshot",
        Parameters,
        steps=(
            Step("reserved", undo=note_as_it_is),
            Step("looked", look),
            Step("taken", take, undo=drop, calls=(will("POST {guest}/snapshot"),)),
            Step("noted", note),
        ),
        result=result,
    )


def rollback_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.rollback",
        Parameters,
        steps=(
            Step("claimed", undo=settle_as_it_is),
            Step("rolled back", roll_back, calls=(will("POST {guest}/snapshot/{p.name}/rollback"),)),
            Step("started", start, calls=(may("POST {guest}/status/start", lambda p: p.start),)),
            Step("settled", settle),
        ),
        result=result,
    )


def removal_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.delete_snapshot",
        Parameters,
        steps=(
            Step("marked", undo=note_as_it_is),
            Step("removed", remove, calls=(may("DELETE {guest}/snapshot/{p.name}"),)),
            Step("noted", note),
        ),
        result=result,
    )


SNAPSHOTS = {kind: snapshot_of(kind) for kind in GuestKind}
ROLLBACKS = {kind: rollback_of(kind) for kind in GuestKind}
REMOVALS = {kind: removal_of(kind) for kind in GuestKind}
