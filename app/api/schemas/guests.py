"""What a guest is, and how guests are listed."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from marshmallow import fields, validate

from app.api.schemas.fields import (
    Moment,
    Named,
    Schema,
    Text,
)
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.guests import (
    GuestFilter,
    GuestState,
)
from app.domain.identifiers import NodeName, PoolId, Tag


class GuestSchema(Schema):
    id = fields.String(required=True)
    vmid = fields.Integer(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["vm", "ct"]))
    name = fields.String(required=True)
    tenant = fields.String(required=True)
    poolid = fields.String(required=True)
    cluster = fields.String(required=True)
    node = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf([state.value for state in GuestState]))
    cores = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata={"description": "MiB."})
    disk_gb = fields.Integer(required=True, metadata={"description": "GiB."})
    template = fields.Boolean(required=True, metadata={"description": "Whether it is a template."})
    made_from = fields.String(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    addresses = fields.List(fields.String(), required=True)
    unprivileged = fields.Boolean(required=True, allow_none=True)
    locked = fields.Boolean(required=True)
    created_at = Moment(required=True)
    observed_at = Moment(required=True, allow_none=True)


class FileSystemSchema(Schema):
    mountpoint = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "Empty where nobody tells."})
    total = fields.Integer(required=True, metadata={"description": "Bytes."})
    used = fields.Integer(required=True, metadata={"description": "Bytes."})


class LiveSchema(Schema):
    """What PVE tells now: memory, disk and traffic in bytes, `cpu` a share of `cpus`, `uptime` in seconds."""

    status = fields.String(required=True)
    uptime = fields.Integer(required=True)
    cpus = fields.Float(required=True)
    cpu = fields.Float(required=True)
    memory = fields.Integer(required=True)
    memory_max = fields.Integer(required=True)
    disk = fields.Integer(required=True)
    disk_max = fields.Integer(required=True)
    net_in = fields.Integer(required=True)
    net_out = fields.Integer(required=True)
    addresses = fields.List(fields.String(), required=True)
    file_systems = fields.List(
        fields.Nested(FileSystemSchema), required=True,
        metadata={"description": "Of a VM as its agent tells them, of a container its root; empty where nobody tells."},
    )  # fmt: skip


class GuestStatusSchema(GuestSchema):
    """The guest, and what PVE tells about it now; null while it is being made."""

    live = fields.Nested(LiveSchema, required=True, allow_none=True)


class GuestConfigSchema(Schema):
    """PVE's configuration; `digest` is also the ETag."""

    data = fields.Dict(required=True)
    digest = fields.String(required=True)


@dataclasses.dataclass(frozen=True)
class Series:
    timeframe: str
    peaks: bool


class MetricsQuerySchema(Schema):
    timeframe = Text(load_default="hour", validate=validate.OneOf(["hour", "day", "week", "month", "year"]))
    of = Text(
        load_default="average", validate=validate.OneOf(["average", "max"]),
        metadata={"description": "Of what was measured between two points: the average, or the peak."},
    )  # fmt: skip

    @classmethod
    def makes(cls, timeframe: str, of: str) -> Series:
        return Series(timeframe, peaks=of == "max")


def _figure(told: str) -> fields.Float:
    return fields.Float(required=True, allow_none=True, metadata={"description": told})


class MetricPointSchema(Schema):
    time = Moment(required=True)
    cpu = _figure("0..1, of `cpus`.")
    cpus = _figure("Cores.")
    memory = _figure("Bytes.")
    memory_max = _figure("Bytes.")
    disk = _figure("Bytes; PVE tells 0 for VMs.")
    disk_max = _figure("Bytes.")
    net_in = _figure("Bytes a second.")
    net_out = _figure("Bytes a second.")
    disk_read = _figure("Bytes a second.")
    disk_write = _figure("Bytes a second.")


class GuestQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = GuestFilter

    sort = sort_by("created_at", "name", "vmid", "state", "cores", "memory")
    poolid = Named(PoolId)
    tenant = Text(least=1, most=64, metadata={"description": "Id or name."})
    node = Named(NodeName)
    status = Text(validate=validate.OneOf([state.value for state in GuestState]))
    name = Text(least=1, most=63, metadata={"description": "A part of the name."})
    tag = Named(Tag)
    template = Text(validate=validate.OneOf(["true", "false", "1", "0"]))
    unprivileged = Text(
        validate=validate.OneOf(["true", "false", "1", "0"]),
        metadata={"description": "false shows the containers that somebody made privileged behind our back."},
    )
