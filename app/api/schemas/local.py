"""The host of the local hypervisor, and its catalog of images."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields, validate

from app.api.schemas.fields import Moment, Schema, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.local import ImageFilter

_KINDS = ["iso", "qcow2", "raw"]


class AcceleratorSchema(Schema):
    type = fields.String(required=True, validate=validate.OneOf(["kvm", "tcg"]))
    reason = fields.String(required=True, metadata={"description": "What the probe saw when it booted a machine."})


class LocalHostSchema(Schema):
    hypervisor = fields.String(required=True)
    library = fields.String(required=True)
    accelerator = fields.Nested(AcceleratorSchema, required=True)
    cores = fields.Integer(required=True)
    cpu = fields.String(required=True)
    memory = fields.Integer(required=True, metadata={"description": "MiB"})
    free_memory = fields.Integer(required=True, metadata={"description": "MiB"})
    cpu_models = fields.List(fields.String(), required=True)
    features = fields.List(
        fields.String(), required=True, metadata={"description": "Of: uefi, uefi-secure, tpm, spice, networks."}
    )
    observed_at = Moment(required=True)


class HostBridgeSchema(Schema):
    name = fields.String(required=True)


class HostInterfaceSchema(Schema):
    name = fields.String(required=True)
    up = fields.Boolean(required=True)
    mac = fields.String(required=True)


class PartQuerySchema(PageQuerySchema):
    """Of what the host has."""


def _kind(**more: Any) -> Text:
    return Text(validate=validate.OneOf(_KINDS), **more)


def _name(**more: Any) -> Text:
    form = validate.Regexp(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", error="must be of letters, digits, dots, dashes")
    return Text(least=1, most=64, validate=form, **more)


class ImageSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(_KINDS))
    tenant = fields.String(required=True, allow_none=True, metadata={"description": "null: everybody's."})
    size = fields.Integer(required=True, metadata={"description": "Bytes of the file."})
    virtual_size = fields.Integer(required=True, metadata={"description": "Bytes that a guest sees."})
    sha256 = fields.String(required=True)
    created_at = Moment(required=True)
    created_by = fields.String(required=True, allow_none=True, metadata={"description": "A user's id."})


class ImageQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = ImageFilter

    sort = sort_by("name", "created_at", "size")
    kind = _kind()
    name = Text(least=1, most=64, metadata={"description": "A part of it."})


class ImageTargetSchema(Schema):
    """All of it may as well come as fields of the form, before the file."""

    name = _name()
    kind = _kind(metadata={"description": "By the file's own marks if left out; a raw disk has none."})
    tenant = Text(
        least=1, most=64,
        metadata={"description": "Id or name. Left out it is your only one, or of administrators everybody's."},
    )  # fmt: skip
    sha256 = Text(
        validate=validate.Regexp(r"\A[0-9A-Fa-f]{64}\Z", error="must be 64 hexadecimal digits"),
        metadata={"description": "Of the file. With another one it is not taken."},
    )  # fmt: skip


class ImageUploadSchema(ImageTargetSchema):
    """What is known of a file before it comes."""

    name = _name(required=True)
