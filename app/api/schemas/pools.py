"""Pools."""

from __future__ import annotations

from marshmallow import fields

from app.api.schemas.fields import Schema
from app.api.schemas.lists import PageQuerySchema, sort_by


class PoolQuerySchema(PageQuerySchema):
    sort = sort_by("poolid", "name", "created_at")


class PoolSchema(Schema):
    """A tenant's pool; `usage` against `quota`, where null is unlimited."""

    poolid = fields.String(required=True)
    tenant = fields.String(required=True, attribute="id")
    name = fields.String(required=True, metadata={"description": "Of the tenant."})
    cluster = fields.String(required=True)
    comment = fields.String(required=True)
    state = fields.String(required=True)
    suspended = fields.Boolean(required=True)
    storages = fields.List(fields.String(), required=True)
    quota = fields.Dict(fields.String(), fields.Integer(allow_none=True), required=True)
    usage = fields.Dict(fields.String(), fields.Integer(), required=True)


class PoolMemberSchema(Schema):
    id = fields.String(required=True)
    vmid = fields.Integer(required=True)
    kind = fields.String(required=True)
    name = fields.String(required=True)
    node = fields.String(required=True)
    state = fields.String(required=True)


class PoolDetailsSchema(PoolSchema):
    members = fields.List(fields.Nested(PoolMemberSchema), required=True)
