"""The catalog."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields, validate

from app.api.schemas.clusters import Whose, cluster_name
from app.api.schemas.fields import Choice, Flag, Lines, Moment, Schema, Several, Text, Whole
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.templates import TemplateCategory, TemplateSpec

_LOGO = validate.Regexp(r"\A(https://|/[^/\\])[^\s\\]*\Z", error="must be an https URL, or a path of this host")


def _source(**more: Any) -> Text:
    told = "The volid of a medium, or the vmid of a template guest."
    return Text(least=1, most=256, metadata={"description": told}, **more)


def logo_url() -> Text:
    return Text(least=1, most=500, validate=_LOGO, allow_none=True)


def _name(**more: Any) -> Text:
    return Text(least=1, most=64, **more)


class TemplateSchema(Schema):
    """What may be deployed: a container's archive or an ISO image (`volid`), or a template guest (`vmid`)."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    description = fields.String(required=True)
    category = fields.String(required=True)
    logo_url = fields.String(required=True, allow_none=True)
    volid = fields.String(required=True, allow_none=True)
    vmid = fields.Integer(required=True, allow_none=True)
    cores = fields.Integer(required=True, metadata={"description": "Proposed."})
    memory = fields.Integer(required=True, metadata={"description": "Proposed, MiB."})
    disk_gb = fields.Integer(required=True, metadata={"description": "The smallest disk it fits on."})
    published = fields.Boolean(required=True)
    created_at = Moment(required=True)


class TemplateQuerySchema(PageQuerySchema):
    sort = sort_by("name", "created_at", "kind")


class TemplateUpdateSchema(Schema):
    name = _name()
    description = Lines(most=2000)
    category = Choice(TemplateCategory)
    logo_url = logo_url()
    cores = Whole(1, 512)
    memory = Whole(16, 4_194_304, metadata={"description": "MiB"})
    disk_gb = Whole(1, 65_536, metadata={"description": "GiB; it may only grow."})
    published = Flag()


class TemplateCreateSchema(TemplateUpdateSchema):
    """Sizes that are left out are the source's."""

    @staticmethod
    def makes(source: str, **more: Any) -> TemplateSpec:
        return TemplateSpec(reference=source, **more)

    source = _source(required=True)
    name = _name(required=True)
    cluster = cluster_name()


class SourceSchema(Schema):
    """What a template may be made of. `reference` names it: its volid, or its vmid in digits."""

    reference = fields.String(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    volid = fields.String(required=True, allow_none=True)
    vmid = fields.Integer(required=True, allow_none=True)
    cores = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata={"description": "MiB"})
    disk_gb = fields.Integer(required=True)
    nodes = fields.List(fields.String(), required=True)


class SourceQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = Whose

    cluster = cluster_name()


class ImportSchema(Schema):
    cluster = Text(least=1, most=64, load_default=None, metadata={"description": "The default one if left out."})
    sources = Several(_source(), most=100, least=1, required=True)


class ImportedSchema(Schema):
    data = fields.List(fields.Nested(TemplateSchema), required=True)
