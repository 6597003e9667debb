"""Drift."""

from __future__ import annotations

from marshmallow import fields, validate

from app.api.schemas.fields import Moment, Schema, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.drift import DriftFilter, DriftKind

_KINDS = [kind.value for kind in DriftKind]


class DifferenceSchema(Schema):
    expected = fields.Raw(required=True, allow_none=True, metadata={"description": "What was agreed."})
    found = fields.Raw(
        required=True, allow_none=True,
        metadata={"description": "What stands in PVE; null for a pool that is not the tenant's."},
    )  # fmt: skip


class DriftSchema(Schema):
    id = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(_KINDS))
    tenant = fields.String(required=True)
    guest = fields.String(required=True, allow_none=True, metadata={"description": "Null: it is none of ours."})
    cluster = fields.String(required=True)
    node = fields.String(required=True)
    vmid = fields.Integer(required=True)
    guest_kind = fields.String(required=True, validate=validate.OneOf(["vm", "ct"]))
    name = fields.String(required=True)
    differences = fields.Dict(
        fields.String(), fields.Nested(DifferenceSchema), required=True,
        metadata={"description": "By field: `name`, `cores`, `memory`, `disk_gb`, `pool`, `node`."},
    )  # fmt: skip
    first_seen_at = Moment(required=True)


class DriftQuerySchema(PageQuerySchema):
    filters = DriftFilter

    sort = sort_by("first_seen_at", "kind", "name", "vmid")
    tenant = Text(least=1, most=64, metadata={"description": "Id or name."})
    kind = Text(validate=validate.OneOf(_KINDS))
