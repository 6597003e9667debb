"""Storages and what lies on them."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields, validate

from app.api.schemas.clusters import cluster_name
from app.api.schemas.fields import Moment, Named, Schema, Text
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.identifiers import NodeName
from app.domain.storages import Content, ContentFilter, StorageFilter


def _tenant() -> Text:
    return Text(least=1, most=64, metadata={"description": "Id or name: as this tenant sees it."})


def _content() -> Text:
    return Text(validate=validate.OneOf([content.value for content in Content]))


class StorageQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = StorageFilter

    sort = sort_by("name")
    cluster = Text(least=1, most=64, metadata={"description": "Id or name; all of yours if left out."})
    tenant = _tenant()
    content = _content()


class ContentQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = ContentFilter

    cluster = cluster_name()
    tenant = _tenant()
    content = _content()
    node = Named(NodeName, metadata={"description": "Ask this node only."})


class StoragePlaceSchema(Schema):
    node = fields.String(required=True)
    available = fields.Boolean(required=True)
    total = fields.Integer(required=True)
    used = fields.Integer(required=True)


class StorageSchema(Schema):
    """Sizes in bytes, as last seen; those of a shared storage are of the one that all nodes have."""

    id = fields.String(required=True)
    cluster = fields.String(required=True)
    shared = fields.Boolean(required=True)
    available = fields.Boolean(required=True)
    content = fields.List(fields.String(), required=True)
    total = fields.Integer(required=True)
    used = fields.Integer(required=True)
    nodes = fields.List(fields.Nested(StoragePlaceSchema), required=True)
    observed_at = Moment(required=True, allow_none=True)


class VolumeSchema(Schema):
    volid = fields.String(required=True)
    content = fields.String(required=True)
    format = fields.String(required=True)
    size = fields.Integer(required=True, metadata={"description": "Bytes."})
    nodes = fields.List(fields.String(), required=True)
    vmid = fields.Integer(required=True, allow_none=True)
    guest = fields.String(required=True, allow_none=True)
    tenant = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True, allow_none=True)
    notes = fields.String(required=True)
    protected = fields.Boolean(required=True)
