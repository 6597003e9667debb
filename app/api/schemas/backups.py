"""Backups of guests."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.api.schemas.fields import Choice, Flag, Lines, Moment, Named, Schema, Several, Text, Vmid, Whole
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.backups import BackupMode, BackupSpec, Compression, Day, RestoreSpec, ScheduleSpec
from app.domain.identifiers import GuestName, StorageId


class BackupSchema(Schema):
    id = fields.String(required=True)
    guest = fields.String(required=True)
    storage = fields.String(required=True)
    node = fields.String(required=True, metadata={"description": "Where it was taken."})
    volid = fields.String(required=True, allow_none=True, metadata={"description": "Its name in Proxmox VE."})
    mode = fields.String(required=True)
    compress = fields.String(required=True)
    notes = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "creating, ready or missing"})
    size = fields.Integer(required=True, metadata={"description": "Bytes, of the archive."})
    cores = fields.Integer(required=True, metadata={"description": "What a restore brings back."})
    memory = fields.Integer(required=True, metadata={"description": "MiB"})
    disk_gb = fields.Integer(required=True, metadata={"description": "GiB"})
    schedule = fields.String(required=True, allow_none=True, metadata={"description": "By which it was taken."})
    created_at = Moment(required=True)


class BackupQuerySchema(PageQuerySchema):
    sort = sort_by("created_at", "size")


class BackupCreateSchema(Schema):
    makes = BackupSpec

    mode = Choice(
        BackupMode, load_default=BackupMode.SNAPSHOT,
        metadata={"description": "Of a running guest: while it runs, with a pause, or shut down meanwhile."},
    )  # fmt: skip
    compress = Choice(Compression, load_default=Compression.ZSTD)
    notes = Lines(most=1024, load_default="", metadata={"description": "Without `{{`."})
    storage = Named(StorageId, metadata={"description": "Left out: the one with the most room."})


class RestoreSchema(Schema):
    makes = RestoreSpec

    as_new = Flag(load_default=False, metadata={"description": "As another guest, beside the one that is there."})
    start = Flag(load_default=False, metadata={"description": "Start it when it is back."})
    name = Named(GuestName, metadata={"description": "Of the new guest; the name that the other one has if left out."})
    vmid = Vmid(metadata={"description": "Of the new guest; a free one of the configured range if left out."})
    storage = Named(StorageId, metadata={"description": "Of the new guest; chosen by room if left out."})

    @validates_schema
    def check_new(self, data: dict[str, Any], **_: Any) -> None:
        for name in ("name", "vmid", "storage"):
            if name in data and not data.get("as_new"):
                raise ValidationError("is for a new guest only: say `as_new`", name)


class ScheduleSchema(Schema):
    id = fields.String(required=True)
    guest = fields.String(required=True)
    at = fields.String(required=True)
    days = fields.List(fields.String(), required=True)
    keep = fields.Integer(required=True)
    mode = fields.String(required=True)
    compress = fields.String(required=True)
    notes = fields.String(required=True)
    storage = fields.String(required=True, allow_none=True)
    maker = fields.String(required=True, metadata={"description": "With whose rights it is done."})
    next_at = Moment(required=True)
    last_at = Moment(required=True, allow_none=True)
    last_error = fields.String(
        required=True, allow_none=True, metadata={"description": "The code with which the last one was refused."}
    )
    created_at = Moment(required=True)


class ScheduleQuerySchema(PageQuerySchema):
    sort = sort_by("created_at", "next_at")


class ScheduleWriteSchema(BackupCreateSchema):
    at = Text(
        required=True, validate=validate.Regexp(r"\A(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z", error="must be HH:MM"),
        metadata={"description": "HH:MM, UTC."},
    )  # fmt: skip
    days = Several(Choice(Day), least=1, most=7, load_default=tuple(Day))
    keep = Whole(1, 100, load_default=7, metadata={"description": "The newest ones of it that stay."})

    @classmethod
    def makes(cls, **data: Any) -> ScheduleSpec:  # type: ignore[override]
        own = {name: data.pop(name) for name in ("at", "days", "keep")}
        return ScheduleSpec(**own, backup=BackupSpec(**data))
