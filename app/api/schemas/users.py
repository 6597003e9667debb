"""Users of the house."""

from __future__ import annotations

from marshmallow import fields

from app.api.schemas.fields import Choice, Flag, Moment, Schema, Secret, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.access import UserRole


class UserSchema(Schema):
    id = fields.String(required=True)
    username = fields.String(required=True)
    role = fields.String(required=True)
    disabled = fields.Boolean(required=True)
    created_at = Moment(required=True)


class NewUserSchema(UserSchema):
    """`password` where none was given: shown this once."""

    password = fields.String()


class UserCreateSchema(Schema):
    username = Text(least=1, most=64, required=True)
    password = Secret(load_default=None, metadata={"description": "8 to 128 characters; generated if left out."})
    role = Choice(UserRole, load_default=UserRole.USER)


class UserUpdateSchema(Schema):
    role = Choice(UserRole)
    disabled = Flag()
    password = Secret()


class TransferSchema(Schema):
    transfer_to = Text(
        least=1, most=256, load_default=None,
        metadata={"description": "Id or name of a member of all tenants in which the user has guests: they are his."},
    )  # fmt: skip


class UserQuerySchema(PageQuerySchema):
    sort = sort_by("username", "role", "created_at")
