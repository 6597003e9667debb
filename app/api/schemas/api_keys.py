"""API keys."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields, post_load, validate

from app.api.schemas.fields import Moment, Schema, Several, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.access import KEY_ACTIONS, Privilege
from app.domain.tenants import ApiKeySpec

_ACTIONS = sorted(KEY_ACTIONS)


class ApiKeySchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    tenant = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "How the secret begins."})
    actions = fields.List(fields.String(), required=True)
    expires_at = Moment(required=True, allow_none=True, metadata={"description": "null: never."})
    last_used_at = Moment(required=True, allow_none=True, metadata={"description": "To the minute."})
    created_at = Moment(required=True)


class NewApiKeySchema(ApiKeySchema):
    """`secret` is the bearer token; it is shown this once."""

    secret = fields.String()


class ApiKeyCreateSchema(Schema):
    name = Text(least=1, most=64, required=True)
    tenant = Text(least=1, most=64, metadata={"description": "Id or name; needed where you are in several."})
    actions = Several(
        Text(validate=validate.OneOf(_ACTIONS)), least=1, most=len(_ACTIONS), required=True,
        metadata={"description": "What the key may be used for; no more than you may yourself."},
    )  # fmt: skip
    expires_at = Moment(metadata={"description": "Never if left out."})

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> ApiKeySpec:
        return ApiKeySpec(**{**data, "actions": frozenset(map(Privilege, data["actions"]))})


class ApiKeyQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = dict

    sort = sort_by("name", "created_at")
    tenant = Text(least=1, most=64, metadata={"description": "Id or name."})
