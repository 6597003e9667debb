"""Plans, and the groups to which they apply."""

from __future__ import annotations

from marshmallow import fields

from app.api.schemas.fields import Lines, Moment, Named, Schema, Several, Text, Whole
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.api.schemas.tenants import QuotaSchema
from app.domain.identifiers import BridgeName, StorageId
from app.domain.plans import GroupSpec, PlanSpec


class PlanSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    limits = fields.Dict(fields.String(), fields.Integer(allow_none=True), required=True)
    storages = fields.List(fields.String(), required=True, allow_none=True)
    default_storage = fields.String(required=True, allow_none=True)
    bridges = fields.List(fields.String(), required=True, allow_none=True)
    default_bridge = fields.String(required=True, allow_none=True)
    vlan = fields.Integer(required=True, allow_none=True)
    flavors = fields.List(fields.String(), required=True, allow_none=True, metadata={"description": "Their names."})
    created_at = Moment(required=True)


class PlanChangedSchema(PlanSchema):
    operations = fields.List(
        fields.String(), required=True,
        metadata={"description": "Of each tenant whose rights in Proxmox VE change: what changes them."},
    )  # fmt: skip


class PlanUpdateSchema(Schema):
    name = Text(least=1, most=64)
    description = Lines(most=2000)
    limits = fields.Nested(QuotaSchema, metadata={"description": "Dimensions not named stay; null is unlimited."})
    storages = Several(
        Named(StorageId), most=100, allow_none=True,
        metadata={"description": "Those that a tenant is granted, as far as its cluster has them; null: not said."},
    )  # fmt: skip
    default_storage = Named(StorageId, allow_none=True, metadata={"description": "For guests that name none."})
    bridges = Several(
        Named(BridgeName), most=100, allow_none=True,
        metadata={"description": "Those that a tenant is granted; null: not said."},
    )  # fmt: skip
    default_bridge = Named(BridgeName, allow_none=True, metadata={"description": "For cards that name none."})
    vlan = Whole(1, 4094, allow_none=True, metadata={"description": "The tag of every card; no other plan's."})
    flavors = Several(
        Text(least=1, most=64), most=100, allow_none=True,
        metadata={
            "description": "Ids or names: those that a deployment may name; null: all. A size that is asked for in "
            "numbers is bounded by `limits` alone."
        },
    )  # fmt: skip


class PlanCreateSchema(PlanUpdateSchema):
    makes = PlanSpec

    name = Text(least=1, most=64, required=True)


class PlanQuerySchema(PageQuerySchema):
    sort = sort_by("name", "created_at")


class TenantPlanSchema(Schema):
    plan = Text(least=1, most=64, required=True, allow_none=True, metadata={"description": "Id or name."})


class GroupSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    plan = fields.String(required=True, allow_none=True, metadata={"description": "Its name."})
    ldap_filter = fields.String(required=True, allow_none=True)
    user_count = fields.Integer(required=True)
    tenant_count = fields.Integer(required=True)
    created_at = Moment(required=True)


class GroupChangedSchema(GroupSchema):
    operations = fields.List(
        fields.String(), required=True,
        metadata={"description": "Of each tenant whose plan changes: what changes its rights in Proxmox VE."},
    )  # fmt: skip


class GroupUpdateSchema(Schema):
    name = Text(least=1, most=64)
    description = Lines(most=2000)
    plan = Text(least=1, most=64, allow_none=True, metadata={"description": "Id or name."})
    ldap_filter = Text(
        least=1, most=1000, allow_none=True, metadata={"description": "Which users of a directory are in the group."}
    )


class GroupCreateSchema(GroupUpdateSchema):
    makes = GroupSpec

    name = Text(least=1, most=64, required=True)


class GroupQuerySchema(PageQuerySchema):
    sort = sort_by("name", "created_at")
