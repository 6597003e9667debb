"""The host of the local hypervisor."""

from __future__ import annotations

from marshmallow import fields, validate

from app.api.schemas.fields import Moment, Schema
from app.api.schemas.lists import PageQuerySchema


class AcceleratorSchema(Schema):
    type = fields.String(required=True, validate=validate.OneOf(["kvm", "tcg"]))
    reason = fields.String(required=True, metadata={"description": "What the probe saw when it booted a machine."})


class LocalHostSchema(Schema):
    hypervisor = fields.String(required=True)
    library = fields.String(required=True)
    accelerator = fields.Nested(AcceleratorSchema, required=True)
    cores = fields.Integer(required=True)
    cpu = fields.String(required=True)
    memory = fields.Integer(required=True, metadata={"description": "MiB"})
    free_memory = fields.Integer(required=True, metadata={"description": "MiB"})
    cpu_models = fields.List(fields.String(), required=True)
    features = fields.List(
        fields.String(), required=True, metadata={"description": "Of: uefi, uefi-secure, tpm, spice, networks."}
    )
    observed_at = Moment(required=True)


class HostBridgeSchema(Schema):
    name = fields.String(required=True)


class HostInterfaceSchema(Schema):
    name = fields.String(required=True)
    up = fields.Boolean(required=True)
    mac = fields.String(required=True)


class PartQuerySchema(PageQuerySchema):
    """Of what the host has."""
