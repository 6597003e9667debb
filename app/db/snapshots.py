"""Snapshots of guests, each under its guest."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from app.db import paging
from app.db.models import Guest, Snapshot
from app.db.session import Tx
from app.domain import snapshots as domain
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest
from app.domain.snapshots import SnapshotState

COLUMNS = {"name": Snapshot.name, "created_at": Snapshot.created_at}


def page(tx: Tx, guest: Guest, request: PageRequest) -> Page[domain.Snapshot]:
    """Oldest first where nothing else is asked for; those that are going are left out."""
    statement = sa.select(Snapshot).where(Snapshot.guest_id == guest.id, Snapshot.state != SnapshotState.DELETING)
    rows = paging.page(tx, statement, columns=COLUMNS, key=Snapshot.name, default_sort="created_at", request=request)
    return Page([_view(row) for row in rows.data], rows.count, rows.next)


def of_guest(tx: Tx, guest: str) -> Sequence[Snapshot]:
    return tx.scalars(sa.select(Snapshot).where(Snapshot.guest_id == guest)).all()


def find(tx: Tx, guest: str, name: str) -> Snapshot:
    """One that is whole. Raises NotFound."""
    row = tx.get(Snapshot, (guest, name))
    if row is None or row.state != SnapshotState.READY:
        raise NotFound
    return row


def _view(row: Snapshot) -> domain.Snapshot:
    return domain.Snapshot(
        name=row.name,
        description=row.description,
        vmstate=row.vmstate,
        parent=row.parent,
        state=SnapshotState(row.state),
        cores=row.cores,
        memory=row.memory,
        disk_gb=row.disk_gb,
        created_at=row.created_at,
    )
