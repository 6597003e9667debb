"""Security groups, as far as a caller may see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from app.db import paging
from app.db.models import Cluster, SecurityGroup, SecurityGroupTenant, Tenant
from app.db.session import Tx
from app.domain import firewall as domain
from app.domain.access import TenantScope
from app.domain.errors import Invalid, NotFound
from app.domain.firewall import Rule, SecurityGroupState
from app.domain.paging import Page, PageRequest

COLUMNS = {"name": SecurityGroup.name, "created_at": SecurityGroup.created_at}
_IN_PVE = (SecurityGroupState.READY, SecurityGroupState.CHANGING)


def page(tx: Tx, scope: TenantScope, request: PageRequest) -> Page[domain.SecurityGroup]:
    statement = sa.select(SecurityGroup).where(_visible(scope))
    rows = paging.page(tx, statement, columns=COLUMNS, key=SecurityGroup.id, default_sort="name", request=request)
    return Page(views(tx, scope, rows.data), rows.count, rows.next)


def find(tx: Tx, scope: TenantScope, ref: str) -> SecurityGroup:
    """By id or name. Raises NotFound, and Invalid for a name that several clusters have."""
    named = sa.or_(SecurityGroup.id == ref, SecurityGroup.name == ref)
    rows = tx.scalars(sa.select(SecurityGroup).where(named, _visible(scope))).all()
    if not rows:
        raise NotFound
    if len(rows) > 1:
        raise Invalid({"group": ["name it by its id: several clusters have one of this name"]})
    return rows[0]


def lock(tx: Tx, group: str) -> SecurityGroup | None:
    """For one decision at a time; None once it is gone."""
    return tx.scalars(
        sa.select(SecurityGroup).where(SecurityGroup.id == group).with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()  # fmt: skip


def is_offered(tx: Tx, scope: TenantScope, cluster: str, name: str) -> bool:
    """Whether there is one of this name in the cluster that these tenants may use."""
    wanted = sa.and_(SecurityGroup.cluster_id == cluster, SecurityGroup.name == name, _visible(scope))
    return tx.scalar(sa.select(sa.exists().where(wanted))) is True


def publish(tx: Tx, group: str, tenants: Iterable[str]) -> None:
    """To these tenants and no others."""
    tx.execute(sa.delete(SecurityGroupTenant).where(SecurityGroupTenant.group_id == group))
    tx.add_all(SecurityGroupTenant(group_id=group, tenant_id=tenant) for tenant in sorted(set(tenants)))


def remove(tx: Tx, group: str) -> None:
    tx.execute(sa.delete(SecurityGroup).where(SecurityGroup.id == group))


def views(tx: Tx, scope: TenantScope, rows: Sequence[SecurityGroup]) -> list[domain.SecurityGroup]:
    """In a fixed number of queries."""
    clusters = {cluster.id: cluster.name for cluster in tx.scalars(sa.select(Cluster))}
    users: dict[str, list[str]] = defaultdict(list)
    given = sa.select(SecurityGroupTenant).where(SecurityGroupTenant.group_id.in_([row.id for row in rows]))
    for one in tx.scalars(given.order_by(SecurityGroupTenant.tenant_id)):
        if scope.contains(one.tenant_id):
            users[one.group_id].append(one.tenant_id)
    return [
        domain.SecurityGroup(
            id=row.id, name=row.name, cluster=clusters[row.cluster_id], comment=row.comment,
            rules=[Rule(**rule) for rule in row.rules], published=row.published, tenants=users[row.id],
            state=SecurityGroupState(row.state), created_at=row.created_at,
        )
        for row in rows
    ]  # fmt: skip


def _visible(scope: TenantScope) -> sa.ColumnElement[bool]:
    """All to who sees every tenant; else those that PVE has and that are published to one of these."""
    if scope.tenants is None:
        return sa.true()
    own = sa.select(SecurityGroupTenant.group_id).where(SecurityGroupTenant.tenant_id.in_(scope.tenants))
    here = sa.select(Tenant.cluster_id).where(Tenant.id.in_(scope.tenants))
    everybodys = sa.and_(SecurityGroup.published, SecurityGroup.cluster_id.in_(here))
    return sa.and_(SecurityGroup.state.in_(_IN_PVE), sa.or_(everybodys, SecurityGroup.id.in_(own)))
