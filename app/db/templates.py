"""The catalog: what may be deployed."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from app.db import paging
from app.db.models import Guest, Template, Tenant
from app.db.session import Tx
from app.domain import templates as domain
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
    return Page([view(row) for row in rows.data], rows.count, rows.next)


def get(tx: Tx, template: str, *, published_only: bool) -> domain.Template:
    """Raises NotFound for what is not there, and for what is not published where only that counts."""
    row = find(tx, template)
    if published_only and not row.published:
        raise NotFound
    return view(row)


def find(tx: Tx, template: str) -> Template:
    """Raises NotFound."""
    row = tx.get(Template, template)
    if row is None:
        raise NotFound
    return row


def references(tx: Tx, cluster: str) -> set[str]:
    """The sources of a cluster of which there are entries."""
    rows = tx.execute(sa.select(Template.volid, Template.vmid).where(Template.cluster_id == cluster)).all()
    return {str(volid if volid is not None else vmid) for volid, vmid in rows}


def names(tx: Tx, cluster: str) -> set[str]:
    return set(tx.scalars(sa.select(Template.name).where(Template.cluster_id == cluster)))


def is_in_use(tx: Tx, template: str) -> bool:
    """Whether a guest that is still there was made from it."""
    return tx.scalar(sa.select(sa.exists().where(Guest.catalog_id == template))) is True


def published(tx: Tx, cluster: str, kind: GuestKind, ref: str) -> Template | None:
    """The published template of this kind and cluster, by id or name."""
    try:
        condition = Template.id == str(UUID(ref))
    except ValueError:
        condition = Template.name == ref
    return tx.scalars(
        sa.select(Template).where(Template.cluster_id == cluster, Template.kind == kind, Template.published, condition)
    ).first()


def published_by(tx: Tx, ref: str) -> domain.Template | None:
    """The published template of any cluster, by id, or by a name that one cluster's has only."""
    try:
        condition = Template.id == str(UUID(ref))
    except ValueError:
        condition = Template.name == ref
    rows = tx.scalars(sa.select(Template).where(Template.published, condition).limit(2)).all()
    return view(rows[0]) if len(rows) == 1 else None


def offered(tx: Tx, tenant: Tenant | None) -> list[domain.Template]:
    """The published ones that a tenant may use, by name: of its cluster, on storages that were granted to it; all of
    them where there is no tenant."""
    statement = sa.select(Template).where(Template.published).order_by(Template.name, Template.id)
    if tenant is not None:
        statement = statement.where(Template.cluster_id == tenant.cluster_id)
    rows = [view(row) for row in tx.scalars(statement)]
    granted = None if tenant is None else frozenset(tenant.storages)
    return [row for row in rows if row.volid is None or granted is None or row.volid.partition(":")[0] in granted]


def every(tx: Tx) -> list[domain.Template]:
    return [view(row) for row in tx.scalars(sa.select(Template).order_by(Template.name, Template.id))]


def published_guests(tx: Tx, kind: GuestKind, vmid: int) -> dict[str, Template]:
    """Cluster -> the published template of this kind that is this very guest there."""
    wanted = sa.select(Template).where(Template.kind == kind, Template.published, Template.vmid == vmid)
    return {row.cluster_id: row for row in tx.scalars(wanted)}


def view(row: Template) -> domain.Template:
    return domain.Template(
        id=row.id,
        name=row.name,
        kind=row.kind,
        description=row.description,
        category=row.category,
        logo_url=row.logo_url,
        volid=row.volid,
        vmid=row.vmid,
        cores=row.cores,
        memory=row.memory,
        disk_gb=row.disk_gb,
        published=row.published,
        created_at=row.created_at,
    )
