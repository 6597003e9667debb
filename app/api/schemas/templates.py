"""The catalog."""

from __future__ import annotations

from marshmallow import fields

from app.api.schemas.fields import Moment, Schema
from app.api.schemas.lists import PageQuerySchema, sort_by


class TemplateSchema(Schema):
    """What may be deployed: a container's archive (`volid`) or a VM template (`vmid`)."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    description = fields.String(required=True)
    volid = fields.String(required=True, allow_none=True)
    vmid = fields.Integer(required=True, allow_none=True)
    disk_gb = fields.Integer(required=True, metadata={"description": "The smallest disk it fits on."})
    published = fields.Boolean(required=True)
    created_at = Moment(required=True)


class TemplateQuerySchema(PageQuerySchema):
    sort = sort_by("name", "created_at", "kind")
