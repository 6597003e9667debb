"""Tasks of Proxmox VE."""

from __future__ import annotations

from marshmallow import fields, validate

from app.api.schemas.fields import Moment, Schema


class TaskSchema(Schema):
    upid = fields.String(required=True)
    node = fields.String(required=True)
    type = fields.String(required=True)
    subject = fields.String(required=True, metadata={"description": "What it works on: a vmid, a storage, or nothing."})
    user = fields.String(required=True, metadata={"description": "The PVE user or token that started it."})
    state = fields.String(required=True, validate=validate.OneOf(["running", "stopped"]))
    exitstatus = fields.String(
        required=True, allow_none=True, metadata={"description": "`OK`, `WARNINGS: n` or what failed; null: it runs."}
    )
    ok = fields.Boolean(required=True, metadata={"description": "It has ended well; warnings count as well."})
    started_at = Moment(required=True)


class TaskLineSchema(Schema):
    n = fields.Integer(required=True, metadata={"description": "From 1."})
    text = fields.String(required=True)
