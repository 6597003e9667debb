"""Backups of guests, each under its guest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.db import paging, quota
from app.db.models import Backup, Guest
from app.db.session import Tx
from app.domain import backups as domain
from app.domain.backups import BackupState
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest
from app.domain.quota import Dimension

COLUMNS = {"created_at": Backup.created_at, "size": Backup.size}


def page(tx: Tx, guest: Guest, request: PageRequest) -> Page[domain.Backup]:
    """Oldest first where nothing else is asked for; those that are going are left out."""
    statement = sa.select(Backup).where(Backup.guest_id == guest.id, Backup.state != BackupState.DELETING)
    rows = paging.page(tx, statement, columns=COLUMNS, key=Backup.id, default_sort="created_at", request=request)
    return Page([view(row) for row in rows.data], rows.count, rows.next)


def of_guest(tx: Tx, guest: str) -> Sequence[Backup]:
    """Oldest first."""
    return tx.scalars(sa.select(Backup).where(Backup.guest_id == guest).order_by(Backup.created_at, Backup.id)).all()


def get(tx: Tx, backup: str) -> Backup | None:
    """One that a saga works on, by id."""
    return tx.get(Backup, backup)


def find(tx: Tx, guest: str, backup: str) -> Backup:
    """One of this guest that is not going. Raises NotFound."""
    row = tx.get(Backup, backup)
    if row is None or row.guest_id != guest or row.state == BackupState.DELETING:
        raise NotFound
    return row


def forget(tx: Tx, guest: Guest, backup: str) -> None:
    """A row goes, and what is charged is the number of those that stay."""
    tx.execute(sa.delete(Backup).where(Backup.id == backup))
    charge(tx, guest)


def charge(tx: Tx, guest: Guest) -> None:
    tx.flush()
    if count := len(of_guest(tx, guest.id)):
        quota.allocate(tx, guest, {Dimension.BACKUPS: count})
    else:
        quota.release(tx, guest.tenant_id, guest.id, (Dimension.BACKUPS,))


def size(row: Backup) -> Mapping[Dimension, int]:
    """What a restore of it takes."""
    return {Dimension.CORES: row.cores, Dimension.MEMORY: row.memory, Dimension.DISK_GB: row.disk_gb}


def view(row: Backup) -> domain.Backup:
    return domain.Backup(
        id=row.id, guest=row.guest_id, storage=row.storage, node=row.node, volid=row.volid, mode=row.mode,
        compress=row.compress, notes=row.notes, state=BackupState(row.state), size=row.size, cores=row.cores,
        memory=row.memory, disk_gb=row.disk_gb, schedule=row.schedule_id,
        created_at=row.created_at,
    )  # fmt: skip


def document(row: Backup) -> dict[str, Any]:
    """The same as JSON values."""
    return {**dataclasses.asdict(view(row)), "created_at": row.created_at.isoformat().replace("+00:00", "Z")}
