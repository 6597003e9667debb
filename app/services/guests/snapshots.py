"""Snapshots of guests: counted in the quota, each looked up under its guest only."""

from __future__ import annotations

from app.db import quota, snapshots
from app.db.models import Snapshot
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid
from app.domain.guests import GuestKind
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.quota import Dimension
from app.domain.snapshots import Snapshot as View
from app.domain.snapshots import SnapshotSpec, SnapshotState
from app.policy import quota as quota_rules
from app.sagas import guest, guest_snapshot
from app.sagas.claims import claim
from app.services.guests.on_guest import OnGuest, require_no_template


class Snapshots(OnGuest):
    def list(self, ctx: Context, kind: GuestKind, ref: str, request: PageRequest) -> Page[View]:
        """As PVE had them when an operation of ours last looked; costs PVE nothing."""
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            return snapshots.page(tx, row, request)

    def take(self, ctx: Context, kind: GuestKind, ref: str, spec: SnapshotSpec) -> Operation:
        """Raises QuotaExceeded; Conflict `snapshot.exists`; Invalid for a container's memory, which PVE cannot keep."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            if spec.vmstate and kind == GuestKind.CT:
                raise Invalid({"vmstate": ["is for virtual machines; a container has no memory to keep"]})
            there = snapshots.of_guest(tx, row.id)
            if any(one.name == spec.name for one in there):
                raise Conflict("A snapshot of this name exists.", code="snapshot.exists", remedy="Choose another name.")
            claim(tx, row, {Dimension.SNAPSHOTS: len(there) + 1})
            tx.add(
                Snapshot(
                    guest_id=row.id, name=spec.name, description=spec.description, vmstate=spec.vmstate, parent=None,
                    state=SnapshotState.CREATING, cores=row.cores, memory=row.memory, disk_gb=row.disk_gb,
                )
            )  # fmt: skip
            parameters = guest_snapshot.Parameters(
                **guest.target(ctx, row), name=spec.name, description=spec.description, vmstate=spec.vmstate
            )
            return self._act(tx, ctx, row, guest_snapshot.SNAPSHOTS[kind], parameters)

    def roll_back(self, ctx: Context, kind: GuestKind, ref: str, name: str) -> Operation:
        """A guest that ran is started again; what the snapshot was larger by is claimed. Raises QuotaExceeded."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            wanted = snapshots.find(tx, row.id, name)
            ran = not quota.held(tx, row.tenant_id, row.id).keys().isdisjoint(guest.RUNNING_DIMENSIONS)
            size = {"cores": wanted.cores, "memory": wanted.memory}
            claimed = {Dimension(name): amount for name, amount in {**size, "disk_gb": wanted.disk_gb}.items()}
            claim(tx, row, {**claimed, **(quota_rules.of_running(**size) if ran or wanted.vmstate else {})})
            parameters = guest_snapshot.Parameters(**guest.target(ctx, row), name=wanted.name, start=ran)
            return self._act(tx, ctx, row, guest_snapshot.ROLLBACKS[kind], parameters)

    def delete(self, ctx: Context, kind: GuestKind, ref: str, name: str) -> Operation:
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            going = snapshots.find(tx, row.id, name)
            going.state = SnapshotState.DELETING
            parameters = guest_snapshot.Parameters(**guest.target(ctx, row), name=going.name)
            return self._act(tx, ctx, row, guest_snapshot.REMOVALS[kind], parameters)
