"""Named sizes, and guests out of the catalog."""

from __future__ import annotations

import dataclasses
from typing import Any

from marshmallow import fields, validate

from app.api.schemas.fields import Flag, Lines, Moment, Named, Schema, Several, Text, Whole
from app.api.schemas.guest_making import CORES_MOST, DISK_GB_MOST, MIB_MOST, affinity, anti_affinity
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.api.schemas.networks import NetworkSchema, ssh_keys
from app.api.schemas.operations import OperationSchema
from app.domain.deployments import DeploymentSpec
from app.domain.guests import Placement
from app.domain.identifiers import GuestName, PoolId, StorageId, Tag
from app.domain.templates import FlavorSpec


class FlavorSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    cores = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata={"description": "MiB"})
    disk_gb = fields.Integer(required=True)
    description = fields.String(required=True)
    created_at = Moment(required=True)


class FlavorQuerySchema(PageQuerySchema):
    sort = sort_by("name", "cores", "memory", "created_at")


def _name(**more: Any) -> Text:
    form = validate.Regexp(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", error="must be of letters, digits, dots, dashes")
    return Text(least=1, most=64, validate=form, **more)


class FlavorUpdateSchema(Schema):
    name = _name()
    cores = Whole(1, CORES_MOST)
    memory = Whole(16, MIB_MOST, metadata={"description": "MiB"})
    disk_gb = Whole(1, DISK_GB_MOST)
    description = Lines(most=2000)


class FlavorCreateSchema(FlavorUpdateSchema):
    makes = FlavorSpec

    name = _name(required=True)
    cores = Whole(1, CORES_MOST, required=True)
    memory = Whole(16, MIB_MOST, required=True, metadata={"description": "MiB"})
    disk_gb = Whole(1, DISK_GB_MOST, required=True)


class DeployedSchema(Schema):
    """What is deployed, but for its name."""

    template_id = Text(least=1, most=64, required=True, metadata={"description": "Id or name, of the catalog."})
    flavor = Text(least=1, most=64, metadata={"description": "Id or name; the template's size if left out."})
    cores = Whole(1, CORES_MOST)
    memory = Whole(16, MIB_MOST, metadata={"description": "MiB"})
    disk_gb = Whole(1, DISK_GB_MOST, metadata={"description": "No smaller than the template's."})
    login = Text(
        least=1, most=32, validate=validate.Regexp(r"^[a-z_][a-z0-9_-]*\Z", error="must be a Linux user name"),
        metadata={"description": "Of a VM; the template's own if left out."},
    )  # fmt: skip
    password = Text(
        least=5, most=128,
        metadata={"format": "password", "description": "Made, and shown once, where neither it nor a key is given."},
    )  # fmt: skip
    ssh_keys = ssh_keys()
    storage = Named(StorageId, metadata={"description": "Chosen by room if left out."})
    net = fields.Nested(NetworkSchema)
    tags = Several(Named(Tag), most=32)
    start = Flag(metadata={"description": "true if left out."})
    tenant = Text(least=1, most=64, metadata={"description": "Id or name; needed where you are in several."})
    poolid = Named(PoolId, metadata={"description": "The tenant by its pool."})
    affinity = affinity()
    anti_affinity = anti_affinity()

    @staticmethod
    def makes(
        template_id: str,
        name: GuestName = GuestName("guest"),  # noqa: B008 - a text, which is never changed
        **more: Any,
    ) -> DeploymentSpec:
        named = {one.name: more.pop(one.name) for one in dataclasses.fields(Placement) if one.name in more}
        return DeploymentSpec(template=template_id, name=name, placement=Placement(**named), **more)


class DeploymentCreateSchema(DeployedSchema):
    name = Named(GuestName, required=True, metadata={"description": "A DNS name."})


class DeploymentSchema(OperationSchema):
    password = fields.String(metadata={"description": "The one that was made: shown this once."})
