"""Many guests in one request."""

from __future__ import annotations

import dataclasses
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.api.schemas.fields import Choice, Flag, GuestRef, Named, Schema, Several, Text, Whole
from app.api.schemas.flavors import DeployedSchema
from app.api.schemas.operations import OperationSchema
from app.domain.bulk import BatchWish, BulkAction, BulkWish
from app.domain.deployments import DeploymentSpec
from app.domain.identifiers import GuestName, MalformedIdentifier, PoolId

_MOST = 100


class BulkSchema(Schema):
    makes = BulkWish

    action = Choice(BulkAction, required=True)
    guests = Several(
        GuestRef(), least=1, most=_MOST, required=True, metadata={"description": "Ids or vmids."}
    )  # fmt: skip
    force = Flag(metadata={"description": "Of `stop`: cut the power. Of `delete`: also what runs."})


class BulkItemSchema(Schema):
    guest = fields.String(required=True)
    operation = fields.Nested(OperationSchema, required=True, allow_none=True)
    error = fields.Dict(required=True, allow_none=True, metadata={"description": "A PROBLEM: why there is none."})


class BulkResultSchema(Schema):
    data = fields.List(fields.Nested(BulkItemSchema), required=True)


class BatchSchema(Schema):
    @staticmethod
    def makes(spec: DeploymentSpec, tenant: str | None = None, poolid: PoolId | None = None, **more: Any) -> BatchWish:
        placement = dataclasses.replace(spec.placement, tenant=tenant, poolid=poolid)
        return BatchWish(spec=dataclasses.replace(spec, placement=placement), **more)

    count = Whole(1, _MOST, required=True)
    name = Text(
        least=4, most=63, required=True, metadata={"description": "With `{n}` where each guest's number is to stand."}
    )
    spec = fields.Nested(DeployedSchema(exclude=("tenant", "poolid")), required=True)
    tenant = Text(least=1, most=64, metadata={"description": "Id or name; needed where you are in several."})
    poolid = Named(PoolId, metadata={"description": "The tenant by its pool."})

    @validates_schema
    def check_name(self, data: dict[str, Any], **_: Any) -> None:
        if data["name"].count("{n}") != 1:
            raise ValidationError("must have {n} in it, once", "name")
        try:
            GuestName.parse(data["name"].replace("{n}", "100"))
        except MalformedIdentifier as error:
            raise ValidationError("must make DNS names", "name") from error


class BatchResultSchema(Schema):
    data = fields.List(fields.Nested(OperationSchema), required=True)
    passwords = fields.Dict(
        keys=fields.String(), values=fields.String(),
        metadata={"description": "Of each guest by id, where one was made: shown this once."},
    )  # fmt: skip
