"""Backups of guests: counted in the quota, each looked up under its guest only; no volume is ever named by a caller."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from app.db import backups, clusters, drift, tenants
from app.db.models import Backup, Guest
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.backups import Backup as View
from app.domain.backups import BackupSpec, BackupState, RestoreSpec
from app.domain.errors import CapacityExceeded, Conflict, Invalid
from app.domain.guests import GuestKind, GuestState, Placement
from app.domain.identifiers import NodeName, StorageId, VmId
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.quota import Dimension
from app.domain.storages import Content
from app.policy import quota as quota_rules
from app.policy import rules
from app.sagas import guest, guest_backup, guest_restore
from app.sagas.claims import claim
from app.services.guests import offers
from app.services.guests.making import Copy, Making
from app.services.guests.on_guest import require_no_template, to_node


class BackingUp(Making):
    """What services that take and delete backups share; the guest is free, and its tenant locked."""

    def _take(self, tx: Tx, ctx: Context, row: Guest, spec: BackupSpec, schedule: str | None = None) -> Operation:
        storage = storage_for(tx, row, spec.storage)
        claim(tx, row, {Dimension.BACKUPS: len(backups.of_guest(tx, row.id)) + 1})
        made = Backup(
            id=str(uuid.uuid4()), guest_id=row.id, storage=storage, node=row.node, volid=None, mode=spec.mode,
            compress=spec.compress, notes=spec.notes, state=BackupState.CREATING, size=0, cores=row.cores,
            memory=row.memory, disk_gb=row.disk_gb, schedule_id=schedule,
        )  # fmt: skip
        tx.add(made)
        parameters = dataclasses.replace(
            guest_backup.of_row(guest.target(ctx, row), made), mode=spec.mode, compress=spec.compress, notes=spec.notes
        )
        return self._act(tx, ctx, row, guest_backup.BACKUPS[GuestKind(row.kind)], parameters)

    def _drop(self, tx: Tx, ctx: Context, row: Guest, going: Backup) -> Operation:
        going.state = BackupState.DELETING
        parameters = guest_backup.of_row(guest.target(ctx, row), going)
        return self._act(tx, ctx, row, guest_backup.REMOVALS[GuestKind(row.kind)], parameters)


class Backups(BackingUp):
    def list(self, ctx: Context, kind: GuestKind, ref: str, request: PageRequest) -> Page[View]:
        """Ours, held against what lies there now: one call to PVE per storage and node that has some of them."""
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            page = backups.page(tx, row, request)
        return Page(self._as_they_are(ctx, row, page.data), page.count, page.next)

    def get(self, ctx: Context, kind: GuestKind, ref: str, backup: str) -> View:
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            found = backups.view(backups.find(tx, row.id, backup))
        (shown,) = self._as_they_are(ctx, row, [found])
        return shown

    def take(self, ctx: Context, kind: GuestKind, ref: str, spec: BackupSpec) -> Operation:
        """Raises QuotaExceeded; Invalid for a storage outside the tenant's, or one that takes no backups."""
        require_plain(spec)
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            return self._take(tx, ctx, row, spec)

    def delete(self, ctx: Context, kind: GuestKind, ref: str, backup: str) -> Operation:
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            return self._drop(tx, ctx, row, backups.find(tx, row.id, backup))

    def restore(self, ctx: Context, kind: GuestKind, ref: str, backup: str, wanted: RestoreSpec) -> Operation:
        """Over its guest, or as a new one of the same tenant, where the archive can be read.

        What comes back is claimed. Raises QuotaExceeded; Conflict `guest.running`, and `backup.elsewhere` where the
        guest's node cannot read the archive.
        """
        return (self._restore_as_new if wanted.as_new else self._restore)(ctx, kind, ref, backup, wanted)

    def _restore(self, ctx: Context, kind: GuestKind, ref: str, backup: str, wanted: RestoreSpec) -> Operation:
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            kept = backups.find(tx, row.id, backup)
            require_no_template(row)
            if row.state in (GuestState.RUNNING, GuestState.PAUSED, GuestState.SUSPENDED):
                raise Conflict("The guest runs.", code="guest.running", remedy="Stop it first, or restore it as new.")
            if row.node not in _readers(tx, row, kept):
                raise Conflict(
                    "The archive lies on another node.", code="backup.elsewhere", remedy="Restore it as a new guest."
                )
            running = quota_rules.of_running(cores=kept.cores, memory=kept.memory) if wanted.start else {}
            claim(tx, row, {**backups.size(kept), **running})
            tenant = tenants.lock(tx, row.tenant_id)
            vlan = offers.terms(tx, tenant, ctx.caller.user).vlan
            parameters = guest_restore.Parameters(
                **self._who(ctx, row, tenant), cores=kept.cores, memory=kept.memory, disk_gb=kept.disk_gb, kind=kind,
                volid=_volid(kept), storage=row.storage if kind == GuestKind.CT else None, name=row.name,
                start=wanted.start, vlan=vlan,
            )  # fmt: skip
            return self._act(tx, ctx, row, guest_restore.RESTORES[kind], parameters)

    def _restore_as_new(self, ctx: Context, kind: GuestKind, ref: str, backup: str, wanted: RestoreSpec) -> Operation:
        with self._db.begin() as tx:
            source = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            kept = backups.find(tx, source.id, backup)
            tenant = tenants.lock(tx, source.tenant_id)
            asked = Copy(
                name=wanted.name or source.name, cores=kept.cores, memory=kept.memory, disk_gb=kept.disk_gb,
                storage=wanted.storage, tags=source.tags, start=wanted.start, placement=Placement(vmid=wanted.vmid),
            )  # fmt: skip
            given = offers.terms(tx, tenant, ctx.caller.user)
            place = offers.place(tx, given, asked, kind, offers.Medium(nodes=_readers(tx, source, kept)))
            row = self._reserve(
                tx, ctx, tenant, kind, asked, place, source.made_from, source.catalog_id, verb="restore"
            )
            parameters = guest_restore.Parameters(
                **self._who(ctx, row, tenant), cores=kept.cores, memory=kept.memory, disk_gb=kept.disk_gb, kind=kind,
                volid=_volid(kept), storage=place.storage, name=row.name, start=wanted.start, vlan=given.vlan,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, guest_restore.RESTORES_AS_NEW[kind], parameters, to_node(row))

    def _as_they_are(self, ctx: Context, row: Guest, ours: Sequence[View]) -> Sequence[View]:
        """Nothing is called missing where the guest is gone, or has left its pool: PVE shows its tenant no archive of
        it then."""
        places = {(one.node, one.storage) for one in ours if one.state == BackupState.READY}
        with self._db.read() as tx:
            is_hidden = row.state == GuestState.MISSING or drift.has_left_its_pool(tx, row.id)
        if not places or is_hidden:
            return ours
        pve = self._credentials.as_tenant(rules.acting(ctx, row.tenant_id))
        there = {
            volume.volid
            for node, storage in sorted(places)
            for volume in pve.node(NodeName(node)).storage_content(StorageId(storage), Content.BACKUP, VmId(row.vmid))
        }
        return [
            one if one.state != BackupState.READY or one.volid in there
            else dataclasses.replace(one, state=BackupState.MISSING)
            for one in ours
        ]  # fmt: skip


def _readers(tx: Tx, row: Guest, kept: Backup) -> frozenset[str]:
    """The nodes that can read an archive: of a storage that is not shared the one on which it was taken."""
    places = clusters.places_of(tx, None, row.cluster_id, kept.storage)
    return frozenset(place.node for place in places if place.shared or place.node == kept.node)


def _volid(kept: Backup) -> str:
    assert kept.volid is not None, "while it is taken its guest is busy"
    return kept.volid


def require_plain(spec: BackupSpec) -> None:
    if "{{" in spec.notes:
        raise Invalid({"notes": ["must not have {{ in it: Proxmox VE would put something of its own there"]})


def storage_for(tx: Tx, row: Guest, wanted: StorageId | None) -> StorageId:
    """One of the tenant's that takes backups and that the guest's node has; the one with the most room."""
    granted = tenants.lock(tx, row.tenant_id).storages
    found = [
        place for place in clusters.storages(tx, row.cluster_id)
        if place.name in granted and place.node == row.node and Content.BACKUP in place.content
        and wanted in (None, place.name)
    ]  # fmt: skip
    if wanted is not None and not found:
        raise Invalid({"storage": ["is not a storage that you may use for this"]})
    if not found:
        raise Conflict(
            "None of the tenant's storages takes backups.", code="backup.no_storage",
            remedy="Ask an administrator for a storage that takes backups.",
        )  # fmt: skip
    at_hand = [place for place in found if place.available]
    if not at_hand:
        raise CapacityExceeded("No storage for backups is at hand.", remedy="Try again later.")
    return StorageId(min(at_hand, key=lambda place: (place.used - place.total, place.name)).name)
