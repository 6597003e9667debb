"""What the front end sends and is given. Where it sends back what it was given, members that are not ours are left."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, validate, validates

from app.api.schemas.fields import Choice, Flag, Lines, Moment, Named, Schema, Several, Text, Whole
from app.api.schemas.guest_making import CORES_MOST, DISK_GB_MOST, MIB_MOST
from app.api.schemas.templates import logo_url
from app.domain.deployments import DeploymentSpec
from app.domain.guests import GuestChange
from app.domain.identifiers import BridgeName, GuestName, SnapshotName, StorageId
from app.domain.templates import TemplateCategory

_MIB, _GIB = {"description": "MiB"}, {"description": "GiB"}


# -- guests


class ResourceSchema(Schema):
    id = fields.String(required=True)
    vmid = fields.Integer(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True, validate=validate.OneOf(["lxc", "qemu"]))
    status = fields.String(
        required=True, validate=validate.OneOf(["running", "stopped", "paused", "provisioning", "unknown"])
    )
    cpu = fields.Integer(required=True)
    ram = fields.Integer(required=True, metadata=_MIB)
    storage = fields.Integer(required=True, metadata=_GIB)
    created_at = Moment(required=True)


class BegunSchema(Schema):
    id = fields.String(required=True)
    state = fields.String(required=True)


class ToldSchema(Schema):
    """What was accepted, or with its end."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True)
    operation = fields.Nested(BegunSchema, required=True)


class MovedSchema(ToldSchema):
    status = fields.String(required=True)


class DeployedResourceSchema(MovedSchema):
    vmid = fields.Integer(required=True)
    password = fields.String(metadata={"description": "The one that was made: shown this once."})


class SpecsSchema(Schema):
    cpu = fields.Integer(required=True)
    ram = fields.Integer(required=True, metadata=_MIB)


class ScaledSchema(ToldSchema):
    new_specs = fields.Nested(SpecsSchema, required=True)


class DeploySchema(Schema):
    @staticmethod
    def makes(
        template_id: str, name: GuestName, cpu: int | None = None, memory: int | None = None, storage: int | None = None
    ) -> DeploymentSpec:
        return DeploymentSpec(template_id, name, cores=cpu, memory=memory, disk_gb=storage, onboot=True)

    template_id = Text(least=1, most=64, required=True, metadata={"description": "Id or name, of the catalog."})
    name = Named(GuestName, required=True, metadata={"description": "A DNS name."})
    cpu = Whole(1, CORES_MOST)
    memory = Whole(16, MIB_MOST, metadata=_MIB)
    storage = Whole(1, DISK_GB_MOST, metadata={"description": "GiB; the template's if left out."})

    @validates("name")
    def check_name(self, name: str, **_: Any) -> None:
        if "." in name:
            raise ValidationError("must be one label of a DNS name: letters, digits and hyphens")


class ScaleSchema(Schema):
    makes = GuestChange

    cores = Whole(1, CORES_MOST, required=True)
    memory = Whole(16, MIB_MOST, required=True, metadata=_MIB)


class RestorePointSchema(Schema):
    name = fields.String(required=True)
    description = fields.String(required=True)
    snaptime = fields.Integer(required=True, metadata={"description": "Seconds since 1970."})
    vmstate = fields.Boolean(required=True)
    parent = fields.String(required=True, allow_none=True)


class RestorePointCreateSchema(Schema):
    name = Named(SnapshotName, metadata={"description": "snap_{vmid}_{seconds since 1970} if left out."})
    description = Lines(most=1024, load_default="")


# -- the catalog


class TemplateSpecsSchema(Schema):
    cpu = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata=_MIB)
    storage = fields.Integer(required=True, metadata=_GIB)


class OfferedSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True)
    description = fields.String(required=True)
    category = fields.String(required=True)
    logo_url = fields.String(required=True, allow_none=True)
    specs = fields.Nested(TemplateSpecsSchema, required=True)


class CuratedSchema(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True)
    proxmox_template_volid = fields.String(required=True, metadata={"description": "A volid, or a vmid in digits."})
    category = fields.String(required=True)
    deploy_mode = fields.String(required=True, metadata={"description": "clone or file"})
    is_active = fields.Boolean(required=True)
    description = fields.String(required=True)
    default_cpu = fields.Integer(required=True)
    default_memory = fields.Integer(required=True, metadata=_MIB)
    default_storage = fields.Integer(required=True, metadata=_GIB)


class CurateSchema(Schema):
    """The template as it was shown, with edits. What is read from Proxmox VE is taken and not looked at."""

    class Meta:
        unknown = EXCLUDE

    name = Text(least=1, most=64)
    description = Lines(most=2000)
    category = Choice(TemplateCategory)
    logo_url = logo_url()
    is_active = Flag()
    default_cpu = Whole(0, CORES_MOST)
    default_memory = Whole(0, MIB_MOST, metadata=_MIB)
    default_storage = Whole(0, DISK_GB_MOST, metadata={"description": "GiB; it may only grow."})


class CurateNewSchema(CurateSchema):
    name = Text(least=1, most=64, required=True)
    proxmox_template_volid = Text(least=1, most=256, required=True)
    deploy_mode = Text(validate=validate.OneOf(["clone", "file"]))


class CuratedAnswerSchema(Schema):
    success = fields.Boolean(required=True)
    message = fields.String(required=True)


class SavedSchema(CuratedAnswerSchema):
    data = fields.Nested(OfferedSchema, required=True)


class ToggledSchema(CuratedAnswerSchema):
    is_active = fields.Boolean(required=True)


class AddedSchema(Schema):
    success = fields.Boolean(required=True)
    id = fields.String(required=True)


class CandidateSchema(Schema):
    volid = fields.String(required=True, metadata={"description": "A volid, or a vmid in digits."})
    name = fields.String(required=True)
    type = fields.String(required=True)
    detected_size_gb = fields.Integer(required=True)
    origin = fields.String(required=True, metadata={"description": "vm or file"})


class CandidateChosenSchema(Schema):
    """A candidate as it was shown; only `volid` is looked at."""

    class Meta:
        unknown = EXCLUDE

    volid = Text(least=1, most=256, required=True)


class CandidatesChosenSchema(Schema):
    templates = Several(fields.Nested(CandidateChosenSchema), least=1, most=100, required=True)


# -- users and their limits


class UsageOfUserSchema(Schema):
    cpu = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata=_MIB)
    storage = fields.Integer(required=True, metadata=_GIB)
    count = fields.Integer(required=True)


class LimitsOfUserSchema(Schema):
    """A limit of 999999999 is none."""

    cpu = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata=_MIB)
    storage = fields.Integer(required=True, metadata=_GIB)


class UserWithLimitsSchema(Schema):
    id = fields.String(required=True)
    username = fields.String(required=True)
    email = fields.String(required=True)
    is_admin = fields.Boolean(required=True)
    group_name = fields.String(required=True)
    usage = fields.Nested(UsageOfUserSchema, required=True)
    limits = fields.Nested(LimitsOfUserSchema, required=True)


class LimitsSchema(Schema):
    """What is left out stays; 999999999 is no limit."""

    cpu = Whole(0, 999_999_999)
    memory = Whole(0, 999_999_999, metadata=_MIB)
    storage = Whole(0, 999_999_999, metadata=_GIB)


class QuotaPairSchema(Schema):
    limit = fields.Dict(fields.String(), fields.Integer(), required=True)
    used = fields.Dict(fields.String(), fields.Integer(), required=True)


class LimitsSavedSchema(Schema):
    message = fields.String(required=True)
    quota = fields.Nested(QuotaPairSchema, required=True)


# -- groups


class LimitedGroupSchema(Schema):
    """A limit of 999999999 is none."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    ldap_filter = fields.String(required=True, allow_none=True)
    default_storage_pool = fields.String(required=True, allow_none=True)
    default_network_bridge = fields.String(required=True, allow_none=True)
    default_vlan_tag = fields.Integer(required=True, allow_none=True)
    max_vms = fields.Integer(required=True)
    max_cpu = fields.Integer(required=True)
    max_memory = fields.Integer(required=True, metadata=_MIB)
    max_storage = fields.Integer(required=True, metadata=_GIB)
    user_count = fields.Integer(required=True)


class GroupSaidSchema(Schema):
    """The group as it was shown, with edits; what is left out stays."""

    class Meta:
        unknown = EXCLUDE

    name = Text(least=1, most=64)
    description = Lines(most=2000)
    ldap_filter = Text(most=1000, allow_none=True)
    default_storage_pool = Named(StorageId, allow_none=True)
    default_network_bridge = Named(BridgeName, allow_none=True)
    default_vlan_tag = Whole(0, 4094, allow_none=True, metadata={"description": "0 or null: none."})
    max_vms = Whole(0, 999_999_999)
    max_cpu = Whole(0, 999_999_999)
    max_memory = Whole(0, 999_999_999, metadata=_MIB)
    max_storage = Whole(0, 999_999_999, metadata=_GIB)


class NewGroupSaidSchema(GroupSaidSchema):
    name = Text(least=1, most=64, required=True)


class GroupToldSchema(Schema):
    msg = fields.String(required=True)


class GroupMadeSchema(GroupToldSchema):
    id = fields.String(required=True)


def as_list(schema: type[Schema]) -> Any:
    """A bare array of it."""
    return schema(many=True)
