"""Pools of tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.clusters import ClusterQuerySchema, Whose
from app.api.schemas.pools import PoolDetailsSchema, PoolQuerySchema, PoolSchema
from app.domain.paging import Page, PageRequest
from app.domain.tenants import Tenant


class PoolsView(MethodView):
    @blp.pages(PoolSchema, PoolQuerySchema)
    def get(self, page: PageRequest) -> Page[Tenant]:
        """List the pools of tenants, with usage against quota"""
        return current.services.pools.list(current.ctx, page)


class PoolView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, PoolDetailsSchema)
    def get(self, whose: Whose, poolid: str) -> dict[str, Any]:
        """Show a pool with its members"""
        pool = current.services.pools.get(current.ctx, poolid, whose.cluster)
        return {**vars(pool.tenant), "members": pool.members}


VIEWS: Mapping[str, type[MethodView]] = {"/pools": PoolsView, "/pools/<poolid>": PoolView}
