"""Log-in."""

from __future__ import annotations

from marshmallow import fields

from app.api.schemas.fields import Schema, Secret, Text


class LogInSchema(Schema):
    username = Text(least=1, most=256, required=True)
    password = Secret(required=True)


class RefreshSchema(Schema):
    """Without a body the refresh token is the bearer."""

    refresh_token = Secret(most=4096)


class PasswordChangeSchema(Schema):
    current_password = Secret(required=True)
    new_password = Secret(required=True, metadata={"description": "8 to 128 characters of any script."})


class TenantOfUserSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True)


class QuotaOfUserSchema(Schema):
    limit = fields.Dict(fields.String(), fields.Integer(allow_none=True), required=True)
    used = fields.Dict(fields.String(), fields.Integer(), required=True)


class ProfileSchema(Schema):
    """Who is logged in. `quota` is that of his home tenant (of his memberships the oldest), and his own in it where
    that leaves less room."""

    id = fields.String(required=True)
    username = fields.String(required=True)
    email = fields.String(required=True)
    is_admin = fields.Boolean(required=True)
    role = fields.String(required=True)
    tenants = fields.List(fields.Nested(TenantOfUserSchema), required=True)
    quota = fields.Nested(QuotaOfUserSchema, required=True)


class TokensSchema(Schema):
    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True, metadata={"description": "Good for one refresh."})
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
    user = fields.Nested(ProfileSchema, required=True)
