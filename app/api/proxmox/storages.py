"""Storages."""

from __future__ import annotations

from collections.abc import Mapping

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.clusters import ClusterQuerySchema, Whose
from app.api.schemas.lists import Listing
from app.api.schemas.storages import ContentQuerySchema, StorageQuerySchema, StorageSchema, VolumeSchema
from app.domain.paging import Page
from app.domain.storages import ContentFilter, Storage, StorageFilter, Volume


class StoragesView(MethodView):
    @blp.pages(StorageSchema, StorageQuerySchema)
    def get(self, listing: Listing[StorageFilter]) -> Page[Storage]:
        """List storages, from the inventory: costs PVE nothing"""
        return current.services.storages.list(current.ctx, listing.wanted, listing.page)


class StorageView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, StorageSchema)
    def get(self, whose: Whose, storage: str) -> Storage:
        """Show a storage"""
        return current.services.storages.get(current.ctx, storage, whose.cluster)


class ContentView(MethodView):
    @blp.pages(VolumeSchema, ContentQuerySchema)
    def get(self, listing: Listing[ContentFilter], storage: str) -> Page[Volume]:
        """List what lies on a storage: media, and the volumes of the tenant's own guests"""
        return current.services.storages.content(current.ctx, storage, listing.wanted, listing.page)


VIEWS: Mapping[str, type[MethodView]] = {
    "/storages": StoragesView,
    "/storages/<storage>": StorageView,
    "/storages/<storage>/content": ContentView,
}
