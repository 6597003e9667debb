"""The catalog of images and ISOs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView
from marshmallow import ValidationError

from app import current
from app.api import uploads
from app.api.conventions import blp
from app.api.schemas.lists import Listing
from app.api.schemas.local import ImageQuerySchema, ImageSchema, ImageTargetSchema, ImageUploadSchema
from app.domain.errors import Invalid
from app.domain.local import Image, ImageFilter, ImageUpload
from app.domain.paging import Page

_FORM_FIELDS = {
    "name": {"type": "string"},
    "kind": {"type": "string", "enum": ["iso", "qcow2", "raw"]},
    "tenant": {"type": "string"},
    "sha256": {"type": "string"},
    "file": {"type": "string", "format": "binary", "description": "The last part."},
}
_UPLOAD_BODY = {
    "required": True,
    "content": {
        uploads.FORM: {"schema": {"type": "object", "required": ["name", "file"], "properties": _FORM_FIELDS}},
        uploads.OCTETS: {"schema": {"type": "string", "format": "binary"}},
    },
}


class ImagesView(MethodView):
    @blp.pages(ImageSchema, ImageQuerySchema)
    def get(self, listing: Listing[ImageFilter]) -> Page[Image]:
        """List images and ISOs: everybody's, and those of your tenants"""
        return current.services.local_images.list(current.ctx, listing.wanted, listing.page)

    @blp.arguments(ImageTargetSchema, location="query")
    @blp.response(201, ImageSchema, streamed=_UPLOAD_BODY)
    def post(self, query: dict[str, Any]) -> Image:
        """Upload a disk image or an ISO: for a tenant, or for everybody (administrators)

        `Content-Length` is needed. The file is looked at before it is kept: one with a backing or data file, snapshots
        or encryption is refused, as is what is cut off, has another checksum than the one given, or is not of its kind.
        """
        return current.services.local_images.add(current.ctx, query.get("tenant"), lambda: _upload(query))


class ImageView(MethodView):
    @blp.response(200, ImageSchema)
    def get(self, image: str) -> Image:
        """Show an image"""
        return current.services.local_images.get(current.ctx, image)

    @blp.response(204)
    def delete(self, image: str) -> None:
        """Delete an image that no machine uses; everybody's only administrators delete"""
        current.services.local_images.delete(current.ctx, image)


def _upload(query: dict[str, Any]) -> ImageUpload:
    received = uploads.receive(current.settings.max_upload_bytes)
    twice = {name: ["is given more than once"] for name in query.keys() & received.fields.keys()}
    if twice:
        raise Invalid(twice)
    try:
        known = ImageUploadSchema().load({**query, **received.fields})
    except ValidationError as error:
        raise Invalid(error.messages_dict) from None
    digest = known.get("sha256")
    return ImageUpload(
        name=known["name"], kind=known.get("kind"), tenant=known.get("tenant"),
        sha256=digest.lower() if digest is not None else None, chunks=received.chunks,
    )  # fmt: skip


VIEWS: Mapping[str, type[MethodView]] = {"/images": ImagesView, "/images/<image>": ImageView}
