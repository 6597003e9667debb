"""Snapshots of guests."""

from __future__ import annotations

from marshmallow import fields

from app.api.schemas.fields import Flag, Lines, Moment, Named, Schema
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.identifiers import SnapshotName
from app.domain.snapshots import SnapshotSpec


class SnapshotSchema(Schema):
    name = fields.String(required=True)
    description = fields.String(required=True)
    vmstate = fields.Boolean(required=True, metadata={"description": "It has the memory of the VM, too."})
    parent = fields.String(required=True, allow_none=True, metadata={"description": "The one it was taken on top of."})
    state = fields.String(required=True, metadata={"description": "creating or ready"})
    cores = fields.Integer(required=True, metadata={"description": "What the guest has again after a rollback."})
    memory = fields.Integer(required=True, metadata={"description": "MiB"})
    disk_gb = fields.Integer(required=True, metadata={"description": "GiB"})
    created_at = Moment(required=True)


class SnapshotQuerySchema(PageQuerySchema):
    sort = sort_by("created_at", "name")


class SnapshotCreateSchema(Schema):
    makes = SnapshotSpec

    name = Named(SnapshotName, required=True, metadata={"description": "Unique in its guest."})
    description = Lines(most=1024, load_default="")
    vmstate = Flag(load_default=False, metadata={"description": "With the memory of a running VM."})
