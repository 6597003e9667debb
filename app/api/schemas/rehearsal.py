"""What a dry run answers."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.api import errors
from app.api.schemas.fields import Schema
from app.domain.rehearsal import Plan


class ReasonSchema(Schema):
    code = fields.String(required=True)
    text = fields.String(required=True)


class RejectedSchema(Schema):
    node = fields.String(required=True)
    storage = fields.String(required=True, allow_none=True, metadata={"description": "Null: the node as a whole."})
    reason = fields.Nested(ReasonSchema, required=True)


class PlacementSchema(Schema):
    node = fields.String(required=True)
    storage = fields.String(required=True)
    reasons = fields.List(fields.Nested(ReasonSchema), required=True, metadata={"description": "Weightiest first."})
    rejected = fields.List(fields.Nested(RejectedSchema), required=True)


class QuotaForecastSchema(Schema):
    tenant = fields.String(required=True)
    limits = fields.Dict(fields.String(), fields.Integer(allow_none=True), required=True)
    before = fields.Dict(fields.String(), fields.Integer(), required=True)
    after = fields.Dict(
        fields.String(), fields.Integer(), required=True,
        metadata={"description": "Once it is accepted; what is given back is given back when the operation has ended."},
    )  # fmt: skip


class PlannedCallSchema(Schema):
    operation = fields.String(required=True)
    step = fields.String(required=True)
    method = fields.String(required=True)
    path = fields.String(required=True, metadata={"description": "Below `/api2/json` of Proxmox VE."})
    certain = fields.Boolean(
        required=True, metadata={"description": "False: only where Proxmox VE is found in a state that needs it."}
    )


class DryRunSchema(Schema):
    """The plan of a request that was not carried out. Nothing is reserved by it."""

    dry_run = fields.Constant(True, required=True)
    placement = fields.Nested(PlacementSchema, required=True, allow_none=True)
    quota = fields.Nested(QuotaForecastSchema, required=True, allow_none=True)
    calls = fields.List(fields.Nested(PlannedCallSchema), required=True)
    violations = fields.Method(
        "dump_violations", required=True,
        metadata={"type": "array", "items": {"$ref": "#/components/schemas/Problem"}},
    )  # fmt: skip

    def dump_violations(self, plan: Plan) -> list[dict[str, Any]]:
        """What would be refused, as it would be told."""
        return [errors.document_of(error) for error in plan.violations]
