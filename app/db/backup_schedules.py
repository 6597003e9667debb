"""Schedules of backups, each under its guest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from app.db import paging
from app.db.models import Backup, BackupSchedule, Guest, User
from app.db.session import Tx
from app.domain import backups as domain
from app.domain.backups import BackupState
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest

COLUMNS = {"created_at": BackupSchedule.created_at, "next_at": BackupSchedule.next_at}


def page(tx: Tx, guest: Guest, request: PageRequest) -> Page[domain.Schedule]:
    statement = sa.select(BackupSchedule).where(BackupSchedule.guest_id == guest.id)
    rows = paging.page(
        tx, statement, columns=COLUMNS, key=BackupSchedule.id, default_sort="created_at", request=request
    )
    return Page([view(tx, row) for row in rows.data], rows.count, rows.next)


def find(tx: Tx, guest: str, schedule: str) -> BackupSchedule:
    """One of this guest. Raises NotFound."""
    row = tx.get(BackupSchedule, schedule)
    if row is None or row.guest_id != guest:
        raise NotFound
    return row


def again(tx: Tx, schedule: str) -> BackupSchedule | None:
    """As it is now that its tenant is locked; None where it has gone."""
    return tx.get(BackupSchedule, schedule, populate_existing=True)


def of_guest(tx: Tx, guest: str) -> int:
    """How many there are."""
    counted = sa.select(sa.func.count()).select_from(BackupSchedule).where(BackupSchedule.guest_id == guest)
    return tx.scalar(counted) or 0


def due(tx: Tx, moment: datetime) -> Sequence[str]:
    """The ids of those whose moment has come, the earliest first."""
    statement = sa.select(BackupSchedule.id).where(BackupSchedule.next_at <= moment).order_by(BackupSchedule.next_at)
    return tx.scalars(statement).all()


def overfull(tx: Tx) -> Sequence[str]:
    """The ids of those that have more backups than they keep."""
    there = sa.func.count(Backup.id)
    statement = (
        sa.select(BackupSchedule.id)
        .join(Backup, sa.and_(Backup.schedule_id == BackupSchedule.id, Backup.state == BackupState.READY))
        .group_by(BackupSchedule.id, BackupSchedule.keep)
        .having(there > BackupSchedule.keep)
    )
    return tx.scalars(statement).all()


def kept(tx: Tx, schedule: str) -> Sequence[Backup]:
    """Its backups, oldest first."""
    whole = sa.and_(Backup.schedule_id == schedule, Backup.state == BackupState.READY)
    return tx.scalars(sa.select(Backup).where(whole).order_by(Backup.created_at, Backup.id)).all()


def view(tx: Tx, row: BackupSchedule) -> domain.Schedule:
    return domain.Schedule(
        id=row.id, guest=row.guest_id, at=row.at, days=row.days, keep=row.keep, mode=row.mode, compress=row.compress,
        notes=row.notes, storage=row.storage, maker=tx.get_one(User, row.user_id).username, next_at=row.next_at,
        last_at=row.last_at, last_error=row.last_error, created_at=row.created_at,
    )  # fmt: skip
