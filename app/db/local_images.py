"""The catalog of images of local machines, as far as a caller may see it."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from app.db import paging
from app.db.models import LocalImage
from app.db.session import Tx
from app.domain import local as domain
from app.domain.access import TenantScope
from app.domain.errors import Invalid, NotFound
from app.domain.local import ImageFilter
from app.domain.paging import Page, PageRequest

COLUMNS = {"name": LocalImage.name, "created_at": LocalImage.created_at, "size": LocalImage.size}


def page(tx: Tx, scope: TenantScope, wanted: ImageFilter, request: PageRequest) -> Page[domain.Image]:
    """Everybody's, and those of the scope's tenants."""
    statement = sa.select(LocalImage).where(_visible(scope))
    if wanted.kind is not None:
        statement = statement.where(LocalImage.kind == wanted.kind)
    if wanted.name is not None:
        statement = statement.where(LocalImage.name.icontains(wanted.name, autoescape=True))
    rows = paging.page(tx, statement, columns=COLUMNS, key=LocalImage.id, default_sort="name", request=request)
    return Page([view(row) for row in rows.data], rows.count, rows.next)


def find(tx: Tx, scope: TenantScope, ref: str) -> LocalImage:
    """By id or name, as `page`. Raises NotFound, and Invalid for a name that several have."""
    rows = tx.scalars(sa.select(LocalImage).where(_visible(scope), _called(ref)).limit(2)).all()
    if not rows:
        raise NotFound
    if len(rows) > 1:
        raise Invalid({"image": ["name it by its id: several have this name"]})
    return rows[0]


def usable(tx: Tx, tenant: str, ref: str) -> LocalImage | None:
    """What a machine of this tenant may be made of, by id or name: its own goes before everybody's."""
    within = _visible(TenantScope(frozenset({tenant})))
    own_first = LocalImage.tenant_id.is_(None)
    return tx.scalars(sa.select(LocalImage).where(within, _called(ref)).order_by(own_first)).first()


def lock(tx: Tx, image: str) -> LocalImage | None:
    """For one decision at a time about what is made of it; None once it is gone."""
    statement = sa.select(LocalImage).where(LocalImage.id == image).with_for_update()
    return tx.scalars(statement.execution_options(populate_existing=True)).one_or_none()


def in_use(tx: Tx, image: str) -> bool:
    """Whether a machine has it in a drive, or stands on it. There are no machines yet."""
    return False


def is_known(tx: Tx, image: str) -> bool:
    return tx.scalar(sa.select(sa.exists().where(LocalImage.id == image))) is True


def view(row: LocalImage) -> domain.Image:
    return domain.Image(
        id=row.id, name=row.name, kind=row.kind, tenant=row.tenant_id, size=row.size, virtual_size=row.virtual_size,
        sha256=row.sha256, created_at=row.created_at, created_by=row.created_by,
    )  # fmt: skip


def _visible(scope: TenantScope) -> sa.ColumnElement[bool]:
    if scope.tenants is None:
        return sa.true()
    return sa.or_(LocalImage.tenant_id.is_(None), LocalImage.tenant_id.in_(scope.tenants))


def _called(ref: str) -> sa.ColumnElement[bool]:
    try:
        return LocalImage.id == str(UUID(ref))
    except ValueError:
        return LocalImage.name == ref
