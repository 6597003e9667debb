"""Tenants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from app.db import paging, quota
from app.db.models import Cluster, Guest, Plan, Tenant
from app.db.names import is_called
from app.db.session import Tx
from app.domain import tenants as domain
from app.domain.access import TenantScope
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest
from app.domain.quota import Dimension
from app.domain.tenants import TenantState

COLUMNS = {"name": Tenant.canonical, "created_at": Tenant.created_at, "poolid": Tenant.poolid}


def find(tx: Tx, scope: TenantScope, ref: str) -> Tenant:
    """By id or name. Raises NotFound for what is not there and for what lies outside the scope."""
    return _one(tx, scope, is_called(Tenant, ref))


def find_by_pool(tx: Tx, scope: TenantScope, poolid: str, cluster: str | None = None) -> Tenant:
    """The tenant within the scope whose pool has this name, in this cluster where one is named. Raises NotFound."""
    in_cluster = (
        Tenant.poolid == poolid if cluster is None else sa.and_(Tenant.poolid == poolid, Tenant.cluster_id == cluster)
    )
    return _one(tx, scope, in_cluster)


def find_by_token(tx: Tx, scope: TenantScope, token_id: str) -> Tenant:
    """The tenant within the scope whose own PVE token this is. Raises NotFound."""
    return _one(tx, scope, Tenant.token_id == token_id)


def lock(tx: Tx, tenant: str) -> Tenant:
    """The tenant, for one decision at a time: until the transaction ends, nobody else changes what it has.

    On SQLite the write transaction has the whole database already.
    """
    return tx.scalars(sa.select(Tenant).where(Tenant.id == tenant).with_for_update()).one()


def get(tx: Tx, tenant: str) -> Tenant | None:
    return tx.get(Tenant, tenant)


class Access(NamedTuple):
    """With what a tenant's work reaches its cluster; `token_secret` is sealed."""

    token_id: str
    token_secret: str | None
    url: str
    ca_pem: str | None
    fingerprint: str | None


#: Built once: every call to PVE asks it.
_ACCESS = (
    sa.select(Tenant.token_id, Tenant.token_secret, Cluster.url, Cluster.ca_pem, Cluster.fingerprint)
    .join(Cluster, Tenant.cluster_id == Cluster.id)
    .where(Tenant.id == sa.bindparam("tenant"))
)


def access(tx: Tx, tenant: str) -> Access | None:
    row = tx.connection().execute(_ACCESS, {"tenant": tenant}).one_or_none()
    return Access(*row) if row is not None else None


def first_in(tx: Tx, scope: TenantScope, cluster: str) -> Tenant:
    """The first by name of these tenants that are in the cluster. Raises NotFound where none is."""
    inside = sa.true() if scope.tenants is None else Tenant.id.in_(scope.tenants)
    row = tx.scalars(sa.select(Tenant).where(inside, Tenant.cluster_id == cluster).order_by(Tenant.canonical)).first()
    if row is None:
        raise NotFound
    return row


def within(tx: Tx, scope: TenantScope) -> Sequence[Tenant]:
    inside = sa.true() if scope.tenants is None else Tenant.id.in_(scope.tenants)
    return tx.scalars(sa.select(Tenant).where(inside).order_by(Tenant.canonical)).all()


def page(
    tx: Tx, scope: TenantScope, request: PageRequest, *, default_sort: str = "name", group: str | None = None
) -> Page[domain.Tenant]:
    """`group` (an id): those in it."""
    statement = sa.select(Tenant)
    if group is not None:
        statement = statement.where(Tenant.group_id == group)
    if scope.tenants is not None:
        statement = statement.where(Tenant.id.in_(scope.tenants))
    rows = paging.page(tx, statement, columns=COLUMNS, key=Tenant.id, default_sort=default_sort, request=request)
    return Page(views(tx, rows.data), rows.count, rows.next)


def views(tx: Tx, rows: Sequence[Tenant]) -> list[domain.Tenant]:
    """TENANT as its reader sees it, limits and usage included, in a fixed number of queries."""
    ids = [row.id for row in rows]
    limits, used = quota.limits_by_tenant(tx, ids), quota.used_by_tenant(tx, ids)
    clusters = {cluster.id: cluster.name for cluster in tx.scalars(sa.select(Cluster))}
    plans = _plans(tx, {row.plan_id for row in rows if row.plan_id is not None})
    return [
        domain.Tenant(
            id=row.id,
            name=row.name,
            poolid=row.poolid,
            pve_user=row.pve_user,
            cluster=clusters[row.cluster_id],
            state=TenantState(row.state),
            suspended=row.suspended,
            comment=row.comment,
            quota={str(dimension): limits[row.id].get(dimension) for dimension in Dimension},
            usage={str(dimension): amount for dimension, amount in used[row.id].items()},
            storages=row.storages,
            bridges=row.bridges,
            plan=plans.get(row.plan_id or ""),
            created_at=row.created_at,
        )
        for row in rows
    ]


def _plans(tx: Tx, ids: Collection[str]) -> dict[str, str]:
    """The plans' names."""
    if not ids:
        return {}
    return dict(tx.execute(sa.select(Plan.id, Plan.name).where(Plan.id.in_(ids))).all())


def pools(tx: Tx, cluster: str) -> dict[str, str]:
    """The pools of a cluster's tenants -> whose."""
    rows = tx.scalars(sa.select(Tenant).where(Tenant.cluster_id == cluster))
    return {row.poolid: row.id for row in rows}


def guest_count(tx: Tx, tenant: str) -> int:
    return tx.scalar(sa.select(sa.func.count()).select_from(Guest).where(Guest.tenant_id == tenant)) or 0


def remove(tx: Tx, tenant: str) -> None:
    tx.execute(sa.delete(Tenant).where(Tenant.id == tenant))


def _one(tx: Tx, scope: TenantScope, condition: sa.ColumnElement[bool]) -> Tenant:
    inside = sa.true() if scope.tenants is None else Tenant.id.in_(scope.tenants)
    row = tx.scalars(sa.select(Tenant).where(condition, inside).order_by(Tenant.created_at)).first()
    if row is None:
        raise NotFound
    return row
