"""Disks of guests: as PVE has them now, each looked up in its guest's configuration only."""

from __future__ import annotations

from app.db import tenants
from app.db.models import Guest
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.disks import Disk as View
from app.domain.disks import DiskSpec
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.guests import GuestChange, GuestKind, GuestState
from app.domain.identifiers import DiskName, StorageId
from app.domain.operations import Operation
from app.domain.quota import Dimension
from app.pve import GuestConfig
from app.sagas import guest, guest_disks
from app.sagas.claims import claim
from app.services.guests import offers
from app.services.guests.on_guest import OnGuest, require_no_template


class Disks(OnGuest):
    def list(self, ctx: Context, kind: GuestKind, ref: str) -> list[View]:
        """With one call to PVE; nothing of a guest that is still being made."""
        row, _ = self._read(ctx, kind, ref)
        return _views(self._config(ctx, row)) if row.state != GuestState.CREATING else []

    def attach(self, ctx: Context, kind: GuestKind, ref: str, spec: DiskSpec) -> Operation:
        """Raises QuotaExceeded, CapacityExceeded, Invalid for a storage that is not granted."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            storage = self._storage(tx, ctx, row, spec.size_gb, spec.storage)
            charged = row.disk_gb
            claim(tx, row, {Dimension.DISK_GB: charged + spec.size_gb})
            parameters = guest_disks.Parameters(
                **guest.target(ctx, row), charged_gb=charged, storage=storage, size_gb=spec.size_gb, path=spec.path
            )
            return self._act(tx, ctx, row, guest_disks.ATTACHMENTS[kind], parameters)

    def grow(self, ctx: Context, kind: GuestKind, ref: str, disk: str, size_gb: int) -> Operation:
        """Raises Invalid for a size below what the disk has, QuotaExceeded."""
        found = self._disk(ctx, kind, ref, disk)
        if size_gb < found.size_gb:
            raise Invalid({"size_gb": [f"must be at least {found.size_gb}, what the disk has: none shrinks"]})
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            wanted = GuestChange(disk_increment_gb=size_gb - found.size_gb)
            return self._change(tx, ctx, row, wanted, disk={"name": found.name, "size_gb": found.size_gb})

    def detach(self, ctx: Context, kind: GuestKind, ref: str, disk: str) -> Operation:
        """Its volume is deleted. Raises Conflict where the guest boots from it."""
        found = self._disk(ctx, kind, ref, disk)
        if found.boot:
            raise Conflict("The guest boots from this disk.", code="disk.boots", remedy="Delete the guest instead.")
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            parameters = guest_disks.Parameters(**guest.target(ctx, row), charged_gb=row.disk_gb, disk=found.name)
            return self._act(tx, ctx, row, guest_disks.DETACHMENTS[kind], parameters)

    def move(self, ctx: Context, kind: GuestKind, ref: str, disk: str, storage: StorageId) -> Operation:
        """Nothing is left where it was. Raises as `attach` does for the storage."""
        found = self._disk(ctx, kind, ref, disk)
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            target = self._storage(tx, ctx, row, found.size_gb if storage != found.storage else 0, storage)
            parameters = guest_disks.Parameters(
                **guest.target(ctx, row), charged_gb=row.disk_gb, disk=found.name, storage=target
            )
            return self._act(tx, ctx, row, guest_disks.MOVES[kind], parameters)

    def _disk(self, ctx: Context, kind: GuestKind, ref: str, name: str) -> View:
        """Raises NotFound for one that the guest has not."""
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
        found = {disk.name: disk for disk in _views(self._config(ctx, row))}
        if name not in found:
            raise NotFound
        return found[DiskName(name)]

    def _config(self, ctx: Context, row: Guest) -> GuestConfig:
        config: GuestConfig = self._live(ctx, row, lambda api: api.config())
        return config

    def _storage(self, tx: Tx, ctx: Context, row: Guest, disk_gb: int, named: StorageId | None) -> StorageId:
        given = offers.terms(tx, tenants.lock(tx, row.tenant_id), ctx.caller.user)
        return offers.place_on(tx, given, GuestKind(row.kind), row.node, disk_gb=disk_gb, named=named).storage


def _views(config: GuestConfig) -> list[View]:
    boot = config.boot_disk
    return [
        View(
            DiskName(disk.name),
            disk.size_gb,
            disk.storage,
            disk.volume,
            disk.path,
            boot is not None and disk.name == boot.name,
        )
        for disk in config.disks
    ]
