"""Tenants' pools: what is in them, and how much of the quota it takes."""

from __future__ import annotations

from app.db import clusters, guests, tenants
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.paging import Page, PageRequest
from app.domain.tenants import Pool, Tenant
from app.policy import rules


class Pools:
    """Each tenant has one; pools that are no tenant's are not shown. Costs PVE nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self, ctx: Context, request: PageRequest) -> Page[Tenant]:
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            return tenants.page(tx, rules.visible(ctx), request, default_sort="poolid")

    def get(self, ctx: Context, poolid: str, cluster: str | None) -> Pool:
        """`cluster` where pools of several have this name. Raises NotFound for a pool of others."""
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            named = clusters.find(tx, scope, cluster).id if cluster is not None else None
            row = tenants.find_by_pool(tx, scope, poolid, named)
            rules.require(ctx, Privilege.TENANT_AUDIT, on=row.id)
            (tenant,) = tenants.views(tx, [row])
            return Pool(tenant, guests.in_pool(tx, row.id))
