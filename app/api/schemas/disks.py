"""Disks of guests."""

from __future__ import annotations

from marshmallow import fields, validate

from app.api.schemas.fields import Named, Schema, Text, Whole
from app.domain.disks import DiskSpec
from app.domain.identifiers import StorageId

_DISK_GB_MOST = 131_072  # 128 TiB
_PATH = validate.Regexp(
    r"^(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+\Z", error="must be a path inside the container, as /srv/data"
)


class DiskSchema(Schema):
    name = fields.String(required=True, metadata={"description": "As PVE calls it: `scsi0`, `rootfs`, `mp0`."})
    size_gb = fields.Integer(required=True, metadata={"description": "GiB."})
    storage = fields.String(required=True)
    volid = fields.String(required=True)
    path = fields.String(required=True, allow_none=True, metadata={"description": "Where a container mounts it."})
    boot = fields.Boolean(required=True, metadata={"description": "The guest starts from it; it cannot be detached."})


def _size() -> Whole:
    return Whole(1, _DISK_GB_MOST, required=True, metadata={"description": "GiB."})


class DiskCreateSchema(Schema):
    makes = DiskSpec

    size_gb = _size()
    storage = Named(StorageId, metadata={"description": "Chosen by room if left out."})


class MountCreateSchema(DiskCreateSchema):
    path = Text(least=2, most=255, validate=_PATH, required=True, metadata={"description": "Where it is mounted."})


class DiskSizeSchema(Schema):
    size_gb = _size()


class DiskMoveSchema(Schema):
    storage = Named(StorageId, required=True)
