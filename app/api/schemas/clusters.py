"""Clusters and nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import fields

from app.api.schemas.fields import Moment, Schema, Text
from app.api.schemas.lists import PageQuerySchema, sort_by


def cluster_name() -> Text:
    return Text(least=1, most=64, metadata={"description": "Id or name; the default cluster if left out."})


@dataclass(frozen=True)
class Whose:
    """Which cluster is meant; None: the default one, or all in a list."""

    cluster: str | None = None


class ClusterQuerySchema(Schema):
    makes = Whose

    cluster = cluster_name()


class NodeQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = Whose

    sort = sort_by("name")
    cluster = Text(least=1, most=64, metadata={"description": "Id or name; all of yours if left out."})


class NodeTaskQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = Whose

    cluster = cluster_name()


class ClusterAnswerSchema(Schema):
    cluster = fields.String(required=True)
    version = fields.String(required=True)
    release = fields.String(required=True)
    repoid = fields.String(required=True)
    latency_ms = fields.Float(required=True)


def _counts(name: str, *members: str, of: type[fields.Field[Any]] = fields.Integer) -> type[Schema]:
    found: Mapping[str, Any] = {member: of(required=True) for member in members}
    return type(name, (Schema,), dict(found))


class GuestCountSchema(Schema):
    total = fields.Integer(required=True)
    states = fields.Dict(fields.String(), fields.Integer(), required=True)
    unmanaged = fields.Integer(required=True, allow_none=True, metadata={"description": "Guests that are no tenant's."})


class CpuSchema(Schema):
    total = fields.Integer(required=True, metadata={"description": "Cores."})
    used = fields.Float(required=True, metadata={"description": "Cores at work."})


NodeCountSchema = _counts("NodeCountSchema", "total", "online")
AmountSchema = _counts("AmountSchema", "total", "used")


class ClusterSummarySchema(Schema):
    """Members see how many nodes there are and their own guests; what is null is not theirs to know, or, with
    `unreachable`, cannot be had at the moment."""

    cluster = fields.String(required=True)
    nodes = fields.Nested(NodeCountSchema, required=True)
    guests = fields.Nested(GuestCountSchema, required=True)
    cpu = fields.Nested(CpuSchema, required=True, allow_none=True)
    memory = fields.Nested(AmountSchema, required=True, allow_none=True, metadata={"description": "MiB."})
    disk = fields.Nested(
        AmountSchema, required=True, allow_none=True, metadata={"description": "GiB; a shared storage counts once."}
    )
    quorate = fields.Boolean(required=True, allow_none=True)
    unreachable = fields.String(
        required=True, allow_none=True, metadata={"description": "The code of what keeps the cluster from answering."}
    )
    observed_at = Moment(required=True, allow_none=True)


class NodeSchema(Schema):
    """As last seen; sizes are null for who is neither administrator nor auditor."""

    name = fields.String(required=True)
    cluster = fields.String(required=True)
    online = fields.Boolean(required=True)
    cores = fields.Integer(required=True, allow_none=True)
    memory = fields.Integer(required=True, allow_none=True, metadata={"description": "MiB."})
    memory_used = fields.Integer(required=True, allow_none=True, metadata={"description": "MiB."})
    observed_at = Moment(required=True, allow_none=True)


class NodeStatusSchema(Schema):
    """What the node tells now: memory and root file system in bytes, `cpu` 0..1, `uptime` in seconds."""

    pveversion = fields.String(required=True)
    kernel = fields.String(required=True)
    cpus = fields.Integer(required=True)
    cpu = fields.Float(required=True)
    loadavg = fields.List(fields.Float(), required=True, metadata={"description": "Over 1, 5 and 15 minutes."})
    memory_total = fields.Integer(required=True)
    memory_used = fields.Integer(required=True)
    root_total = fields.Integer(required=True)
    root_used = fields.Integer(required=True)
    uptime = fields.Integer(required=True)


class NodeVersionSchema(Schema):
    version = fields.String(required=True)
    release = fields.String(required=True)
    repoid = fields.String(required=True)


class InterfaceSchema(Schema):
    iface = fields.String(required=True)
    type = fields.String(required=True)
    active = fields.Boolean(required=True)
    cidr = fields.String(required=True, allow_none=True)
    comments = fields.String(required=True)


class ServiceSchema(Schema):
    name = fields.String(required=True)
    description = fields.String(required=True)
    state = fields.String(required=True)
    enabled = fields.Boolean(required=True, metadata={"description": "It starts with the node."})


class NodeTaskSchema(Schema):
    upid = fields.String(required=True)
    node = fields.String(required=True)
    type = fields.String(required=True)
    subject = fields.String(required=True, metadata={"description": "What it works on: a vmid, a storage, or nothing."})
    user = fields.String(required=True)
    status = fields.String(required=True, metadata={"description": "`running`, `OK`, `WARNINGS: n`, or what failed."})
    started_at = Moment(required=True)
    ended_at = Moment(required=True, allow_none=True)
