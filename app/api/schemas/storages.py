"""Storages and what lies on them."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validate, validates_schema

from app.api.schemas.clusters import cluster_name
from app.api.schemas.fields import Moment, Named, Schema, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.identifiers import MediaName, NodeName
from app.domain.storages import MEDIA, Content, ContentFilter, StorageFilter, content_of

#: Hexadecimal digits.
DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def _tenant() -> Text:
    return Text(least=1, most=64, metadata={"description": "Id or name: as this tenant sees it."})


def _content() -> Text:
    return Text(validate=validate.OneOf([content.value for content in Content]))


class StorageQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = StorageFilter

    sort = sort_by("name")
    cluster = Text(least=1, most=64, metadata={"description": "Id or name; all of yours if left out."})
    tenant = _tenant()
    content = _content()


class ContentQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = ContentFilter

    cluster = cluster_name()
    tenant = _tenant()
    content = _content()
    node = Named(NodeName, metadata={"description": "Ask this node only."})


class UploadTargetSchema(Schema):
    """Everything but the place may as well come as a field of the form, before the file."""

    cluster = cluster_name()
    node = Named(NodeName, metadata={"description": "Where each node has its own; the first if left out."})
    content = Text(validate=validate.OneOf([content.value for content in MEDIA]))
    filename = Named(MediaName, metadata={"description": "As it will be called there; of a form that of its part."})
    checksum = Text(
        least=32, most=128, validate=validate.Regexp(r"\A[0-9A-Fa-f]+\Z", error="must be hexadecimal"),
        metadata={"description": "Of the file. With another one it is not taken."},
    )  # fmt: skip
    checksum_algorithm = Text(
        validate=validate.OneOf(list(DIGEST_LENGTHS)), metadata={"description": "`sha256` if left out."}
    )


class UploadSchema(Schema):
    """What is known of a file before it comes."""

    content = Text(validate=validate.OneOf([content.value for content in MEDIA]))
    filename = Named(MediaName, required=True)
    checksum = Text(least=32, most=128, validate=validate.Regexp(r"\A[0-9A-Fa-f]+\Z", error="must be hexadecimal"))
    checksum_algorithm = Text(load_default="sha256", validate=validate.OneOf(list(DIGEST_LENGTHS)))

    @validates_schema
    def check_together(self, data: dict[str, Any], **_: Any) -> None:
        checksum = data.get("checksum")
        if checksum is not None and len(checksum) != DIGEST_LENGTHS[data["checksum_algorithm"]]:
            raise ValidationError("is not as long as one of this algorithm", "checksum")
        content = content_of(data["filename"])
        if data.setdefault("content", content) != content:
            raise ValidationError(
                "must end in .iso or .img, a container's template in .tar.gz, .xz or .zst, a disk image in .qcow2, "
                ".raw or .vmdk", "filename",
            )  # fmt: skip


class DownloadSchema(UploadSchema):
    url = Text(least=1, most=2000, required=True, metadata={"format": "uri", "description": "http or https, public."})
    filename = Named(MediaName, required=True, metadata={"description": "As it will be called there."})
    cluster = cluster_name()
    node = Named(NodeName, metadata={"description": "Where each node has its own; the first if left out."})


class StoragePlaceSchema(Schema):
    node = fields.String(required=True)
    available = fields.Boolean(required=True)
    total = fields.Integer(required=True)
    used = fields.Integer(required=True)


class StorageSchema(Schema):
    """Sizes in bytes, as last seen; those of a shared storage are of the one that all nodes have."""

    id = fields.String(required=True)
    cluster = fields.String(required=True)
    shared = fields.Boolean(required=True)
    available = fields.Boolean(required=True)
    content = fields.List(fields.String(), required=True)
    total = fields.Integer(required=True)
    used = fields.Integer(required=True)
    nodes = fields.List(fields.Nested(StoragePlaceSchema), required=True)
    observed_at = Moment(required=True, allow_none=True)


class VolumeSchema(Schema):
    volid = fields.String(required=True)
    content = fields.String(required=True)
    format = fields.String(required=True)
    size = fields.Integer(required=True, metadata={"description": "Bytes."})
    nodes = fields.List(fields.String(), required=True)
    vmid = fields.Integer(required=True, allow_none=True)
    guest = fields.String(required=True, allow_none=True)
    tenant = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True, allow_none=True)
    notes = fields.String(required=True)
    protected = fields.Boolean(required=True)
