"""Named sizes."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from app.db import paging
from app.db.models import Flavor
from app.db.session import Tx
from app.domain import templates as domain
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest

COLUMNS = {
    "name": Flavor.name, "cores": Flavor.cores, "memory": Flavor.memory, "created_at": Flavor.created_at,
}  # fmt: skip


def page(tx: Tx, allowed: Collection[str] | None, request: PageRequest) -> Page[domain.Flavor]:
    """Those of these ids; None: all."""
    statement = sa.select(Flavor) if allowed is None else sa.select(Flavor).where(Flavor.id.in_(allowed))
    rows = paging.page(tx, statement, columns=COLUMNS, key=Flavor.id, default_sort="name", request=request)
    return Page([view(row) for row in rows.data], rows.count, rows.next)


def find(tx: Tx, ref: str) -> Flavor:
    """By id or name. Raises NotFound."""
    try:
        condition = Flavor.id == str(UUID(ref))
    except ValueError:
        condition = Flavor.name == ref
    row = tx.scalar(sa.select(Flavor).where(condition))
    if row is None:
        raise NotFound
    return row


def view(row: Flavor) -> domain.Flavor:
    return domain.Flavor(
        id=row.id, name=row.name, cores=row.cores, memory=row.memory, disk_gb=row.disk_gb, description=row.description,
        created_at=row.created_at,
    )  # fmt: skip
