"""Tenants, their members, limits and use."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.api.schemas.fields import Choice, Flag, Moment, Named, PublicId, Schema, Several, Text, Whole
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.access import TenantRole
from app.domain.identifiers import BridgeName, StorageId
from app.domain.quota import Dimension
from app.domain.tenants import TenantChanges, TenantSpec

_LARGEST_LIMIT = 1_000_000_000

QuotaSchema = Schema.from_dict(
    {dimension.value: Whole(0, _LARGEST_LIMIT, allow_none=True) for dimension in Dimension}, name="QuotaSchema"
)
"""Limits by dimension; null is unlimited."""


class TenantCreateSchema(Schema):
    makes = TenantSpec

    name = Text(least=1, most=64, required=True)
    comment = Text(most=255)
    cluster = Text(least=1, most=64, metadata={"description": "The default cluster if left out."})
    plan = Text(least=1, most=64, metadata={"description": "Id or name; what is named beside it comes before it."})
    storages = Several(
        Named(StorageId), most=100,
        metadata={"description": "If left out, those of the plan; where it names none, all of the cluster."},
    )  # fmt: skip
    bridges = Several(
        Named(BridgeName), most=100, metadata={"description": "If left out, those of the plan, or `vmbr0`."}
    )
    quota = fields.Nested(QuotaSchema, metadata={"description": "Dimensions not named are the plan's, or unlimited."})


class TenantUpdateSchema(Schema):
    makes = TenantChanges

    comment = Text(most=255)
    suspended = Flag()


class TenantSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    poolid = fields.String(required=True)
    pve_user = fields.String(required=True)
    cluster = fields.String(required=True)
    state = fields.String(required=True)
    suspended = fields.Boolean(required=True)
    comment = fields.String(required=True)
    quota = fields.Dict(fields.String(), fields.Integer(allow_none=True), required=True)
    usage = fields.Dict(fields.String(), fields.Integer(), required=True)
    storages = fields.List(fields.String(), required=True)
    bridges = fields.List(fields.String(), required=True)
    plan = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)


class TenantQuerySchema(PageQuerySchema):
    sort = sort_by("name", "created_at")


class MemberSchema(Schema):
    user = fields.String(required=True)
    username = fields.String(required=True)
    role = fields.String(required=True)


class MemberAddSchema(Schema):
    username = Text(least=1, most=256, required=True)
    role = Choice(TenantRole, required=True)


class MemberQuerySchema(PageQuerySchema):
    sort = sort_by("username", "role", "created_at")


class ActionRightsSchema(Schema):
    """An action of ours, the roles that have it now, and what it needs of PVE on the tenant's pool."""

    action = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    needs = fields.List(fields.String(), required=True)
    missing = fields.List(fields.String(), required=True, metadata={"description": "Allowed by us, refused by PVE."})


class PathRightsSchema(Schema):
    """One of PVE's paths: the privileges that the tenant's token should have there, and has."""

    path = fields.String(required=True)
    expected = fields.List(fields.String(), required=True)
    actual = fields.List(fields.String(), required=True)
    missing = fields.List(fields.String(), required=True)
    excess = fields.List(fields.String(), required=True)
    differs = fields.Boolean(required=True)


class TenantAccessSchema(Schema):
    tenant = fields.String(required=True)
    pve_user = fields.String(required=True)
    suspended = fields.Boolean(required=True)
    token_accepted = fields.Boolean(required=True, metadata={"description": "PVE takes the tenant's token at all."})
    differs = fields.Boolean(required=True, metadata={"description": "Any path differs."})
    actions = fields.List(fields.Nested(ActionRightsSchema), required=True)
    paths = fields.List(
        fields.Nested(PathRightsSchema), required=True,
        metadata={"description": "Those outside the tenant are named to administrators and auditors only."},
    )  # fmt: skip
    outside = fields.Integer(
        required=True,
        metadata={"description": "How many paths outside the tenant its token reaches: 0, if all is well."},
    )


class WhoseQuotaSchema(Schema):
    user = PublicId(
        load_default=None, metadata={"description": "The limits of this member in the tenant, not the tenant's."}
    )


class UserUsageSchema(Schema):
    user = fields.String(required=True)
    username = fields.String(required=True)
    role = fields.String(
        required=True, allow_none=True,
        metadata={"description": "Null: no member, or none any more; his guests stay with the tenant."},
    )  # fmt: skip
    quota = fields.Dict(
        fields.String(), fields.Integer(allow_none=True), required=True, metadata={"description": "His own limits."}
    )
    allocated = fields.Dict(fields.String(), fields.Integer(), required=True)


class UsageSchema(Schema):
    quota = fields.Dict(fields.String(), fields.Integer(allow_none=True), required=True)
    allocated = fields.Dict(fields.String(), fields.Integer(), required=True)
    running = fields.Dict(fields.String(), fields.Integer(), required=True)
    users = fields.List(fields.Nested(UserUsageSchema), required=True)


def limits(quota: dict[str, Any]) -> dict[Dimension, int | None]:
    return {Dimension(name): amount for name, amount in quota.items()}
