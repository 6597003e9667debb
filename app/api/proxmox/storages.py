"""Storages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView
from marshmallow import ValidationError

from app import current
from app.api import uploads
from app.api.conventions import blp
from app.api.schemas.clusters import ClusterQuerySchema, Whose
from app.api.schemas.lists import Listing
from app.api.schemas.storages import (
    ContentQuerySchema,
    DownloadSchema,
    StorageQuerySchema,
    StorageSchema,
    UploadSchema,
    UploadTargetSchema,
    VolumeSchema,
)
from app.domain.errors import Invalid
from app.domain.operations import Operation
from app.domain.paging import Page
from app.domain.storages import (
    Checksum,
    Content,
    ContentFilter,
    Download,
    Storage,
    StorageFilter,
    Target,
    Upload,
    Volume,
)


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


class VolumeView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.accepted()
    def delete(self, whose: Whose, storage: str, volid: str) -> Operation:
        """Delete a medium (administrators) or a backup (owners of its tenant, too)"""
        return current.services.storages.delete(current.ctx, storage, volid, whose.cluster)


_FORM_FIELDS = {
    "content": {"type": "string", "enum": ["iso", "vztmpl", "import"]},
    "filename": {"type": "string"},
    "checksum": {"type": "string"},
    "checksum_algorithm": {"type": "string", "enum": ["sha256", "sha384", "sha512"]},
    "file": {"type": "string", "format": "binary", "description": "The last part."},
}
_UPLOAD_BODY = {
    "required": True,
    "content": {
        uploads.FORM: {"schema": {"type": "object", "required": ["file"], "properties": _FORM_FIELDS}},
        uploads.OCTETS: {"schema": {"type": "string", "format": "binary"}},
    },
}


class UploadView(MethodView):
    @blp.arguments(UploadTargetSchema, location="query")
    @blp.accepted(streamed=_UPLOAD_BODY)
    def post(self, query: dict[str, Any], storage: str) -> Operation:
        """Upload an ISO image, a container's template or a disk image (administrators)

        The file goes through to Proxmox VE as it comes. `Content-Length` is needed. A name that is there already is
        409 `volume.exists`; a file with another checksum than the one given is refused, and nothing of it is kept.
        """
        target = Target(storage, query.pop("cluster", None), query.pop("node", None))
        return current.services.storages.upload(current.ctx, target, lambda: _upload(query))


_DOWNLOAD = {
    "url": "https://deb.debian.org/debian/dists/bookworm/main/installer-amd64/current/images/netboot/mini.iso",
    "filename": "debian-12-mini.iso",
}


class DownloadView(MethodView):
    @blp.arguments(DownloadSchema, example=_DOWNLOAD)
    @blp.accepted()
    def post(self, known: dict[str, Any], storage: str) -> Operation:
        """Fetch an ISO image, a container's template or a disk image from a URL (administrators)

        A worker fetches it and passes it through to Proxmox VE. The URL may lead to public addresses only, by
        redirects too: else the operation ends with `url.forbidden`.
        """
        target = Target(storage, known.get("cluster"), known.get("node"))
        wanted = Download(known["url"], Content(known["content"]), known["filename"], _checksum(known))
        return current.services.storages.download(current.ctx, target, wanted)


def _checksum(known: dict[str, Any]) -> Checksum | None:
    digest = known.get("checksum")
    return Checksum(known["checksum_algorithm"], digest.lower()) if digest is not None else None


def _upload(query: dict[str, Any]) -> Upload:
    received = uploads.receive(current.settings.max_upload_bytes)
    twice = {name: ["is given more than once"] for name in query.keys() & received.fields.keys()}
    if twice:
        raise Invalid(twice)
    told = {**query, **received.fields}
    if received.filename:
        told.setdefault("filename", received.filename)
    try:
        known = UploadSchema().load(told)
    except ValidationError as error:
        raise Invalid(error.messages_dict) from None
    return Upload(Content(known["content"]), known["filename"], _checksum(known), received.size, received.chunks)


VIEWS: Mapping[str, type[MethodView]] = {
    "/storages": StoragesView,
    "/storages/<storage>": StorageView,
    "/storages/<storage>/content": ContentView,
    "/storages/<storage>/content/<path:volid>": VolumeView,
    "/storages/<storage>/upload": UploadView,
    "/storages/<storage>/download-url": DownloadView,
}
