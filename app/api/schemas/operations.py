"""Operations and problems."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.api import errors
from app.api.schemas.fields import Moment, PublicId, Schema, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.operations import Operation, OperationFilter, OperationState


class ProblemSchema(Schema):
    """RFC 9457, with a stable dotted `code`."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    instance = fields.String()
    request_id = fields.String()
    error = fields.String(metadata={"description": "The detail once more."})
    description = fields.String(metadata={"description": "The detail once more."})
    errors = fields.Dict(metadata={"description": "What is wrong with each field."})
    remedy = fields.String()
    dimension = fields.String()
    limit = fields.Integer()
    used = fields.Integer()
    requested = fields.Integer()
    kept = fields.Dict(metadata={"description": "What could not be taken back when the operation was undone."})
    operation = fields.String(metadata={"description": "Address of the operation that is in the way."})


class StepSchema(Schema):
    name = fields.String(required=True)
    state = fields.String(required=True)
    upid = fields.String(required=True, allow_none=True)


class OperationSchema(Schema):
    id = fields.String(required=True)
    type = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf([state.value for state in OperationState]))
    tenant = fields.String(required=True, allow_none=True)
    guest = fields.String(required=True, allow_none=True)
    steps = fields.List(fields.Nested(StepSchema), required=True)
    progress = fields.Float(required=True, metadata={"description": "From 0 to 1."})
    queue_position = fields.Integer(required=True, allow_none=True)
    error = fields.Method("dump_error", required=True, metadata={"type": ["object", "null"]})
    result = fields.Dict(required=True, allow_none=True)
    created_by = fields.String(required=True)
    created_at = Moment(required=True)
    started_at = Moment(required=True, allow_none=True)
    finished_at = Moment(required=True, allow_none=True)

    def dump_error(self, operation: Operation) -> dict[str, Any] | None:
        if operation.error is None:
            return None
        return {"instance": f"/api/operations/{operation.id}", **errors.complete(operation.error)}


class OperationQuerySchema(PageQuerySchema):
    filters = OperationFilter

    sort = sort_by("created_at", "type", "state")
    state = Text(validate=validate.OneOf([state.value for state in OperationState]))
    guest = PublicId()
    tenant = Text(least=1, most=64, metadata={"description": "Id or name."})
    type = Text(least=1, most=64, metadata={"description": "As `ct.create`."})


class ResolveSchema(Schema):
    note = Text(least=1, most=200, required=True, metadata={"description": "What was done about it."})
