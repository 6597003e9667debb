"""The catalog: what may be deployed."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from app.db import paging
from app.db.models import Template
from app.db.session import Tx
from app.domain import tenants as domain
from app.domain.errors import NotFound
from app.domain.guests import GuestKind
from app.domain.paging import Page, PageRequest

COLUMNS = {"name": Template.name, "created_at": Template.created_at, "kind": Template.kind}


def uses(tx: Tx, cluster: str, volid: str) -> bool:
    """Whether a catalog entry, published or not, is made of this volume."""
    return tx.scalar(sa.select(sa.exists().where(Template.cluster_id == cluster, Template.volid == volid))) is True


def page(tx: Tx, request: PageRequest, *, published_only: bool) -> Page[domain.Template]:
    statement = sa.select(Template)
    if published_only:
        statement = statement.where(Template.published)
    rows = paging.page(tx, statement, columns=COLUMNS, key=Template.id, default_sort="name", request=request)
    return Page([_view(row) for row in rows.data], rows.count, rows.next)


def get(tx: Tx, template: str, *, published_only: bool) -> domain.Template:
    """Raises NotFound for what is not there, and for what is not published where only that counts."""
    row = tx.get(Template, template)
    if row is None or (published_only and not row.published):
        raise NotFound
    return _view(row)


def published(tx: Tx, cluster: str, kind: GuestKind, ref: str) -> Template | None:
    """The published template of this kind and cluster, by id or name."""
    try:
        condition = Template.id == str(UUID(ref))
    except ValueError:
        condition = Template.name == ref
    return tx.scalars(
        sa.select(Template).where(Template.cluster_id == cluster, Template.kind == kind, Template.published, condition)
    ).first()


def published_guests(tx: Tx, kind: GuestKind, vmid: int) -> dict[str, str]:
    """Cluster -> name of the published template of this kind that is this very guest there."""
    wanted = sa.and_(Template.kind == kind, Template.published, Template.vmid == vmid)
    return {row[0]: row[1] for row in tx.execute(sa.select(Template.cluster_id, Template.name).where(wanted))}


def _view(row: Template) -> domain.Template:
    return domain.Template(
        id=row.id,
        name=row.name,
        kind=row.kind,
        description=row.description,
        volid=row.volid,
        vmid=row.vmid,
        disk_gb=row.disk_gb,
        published=row.published,
        created_at=row.created_at,
    )
