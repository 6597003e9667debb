"""Backups of a guest of either kind."""

from __future__ import annotations

from typing import ClassVar

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.backups import (
    BackupCreateSchema,
    BackupQuerySchema,
    BackupSchema,
    RestoreSchema,
    ScheduleQuerySchema,
    ScheduleSchema,
    ScheduleWriteSchema,
)
from app.domain.backups import Backup, BackupSpec, RestoreSpec, Schedule, ScheduleSpec
from app.domain.guests import GuestKind
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest


class BackupsView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.pages(BackupSchema, BackupQuerySchema)
    def get(self, page: PageRequest, guest: str) -> Page[Backup]:
        """List a guest's backups, oldest first; what Proxmox VE does not have any more is `missing`"""
        return current.services.backups.list(current.ctx, self.kind, guest, page)

    @blp.arguments(BackupCreateSchema, required=False, example={"mode": "snapshot", "notes": "before the upgrade"})
    @blp.accepted()
    def post(self, spec: BackupSpec, guest: str) -> Operation:
        """Take a backup"""
        return current.services.backups.take(current.ctx, self.kind, guest, spec)


class BackupView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, BackupSchema)
    def get(self, guest: str, backup: str) -> Backup:
        """Show a backup"""
        return current.services.backups.get(current.ctx, self.kind, guest, backup)

    @blp.accepted()
    def delete(self, guest: str, backup: str) -> Operation:
        """Delete a backup; one that Proxmox VE does not have any more is forgotten"""
        return current.services.backups.delete(current.ctx, self.kind, guest, backup)


class RestoreView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(RestoreSchema, required=False, example={"as_new": True, "name": "as-it-was"})
    @blp.accepted()
    def post(self, spec: RestoreSpec, guest: str, backup: str) -> Operation:
        """Restore a backup: over its guest, which must be stopped and loses its snapshots, or as a new guest"""
        return current.services.backups.restore(current.ctx, self.kind, guest, backup, spec)


_NIGHTLY = {"at": "02:30", "days": ["mon", "wed", "fri"], "keep": 3}


class SchedulesView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.pages(ScheduleSchema, ScheduleQuerySchema)
    def get(self, page: PageRequest, guest: str) -> Page[Schedule]:
        """List when backups of a guest are taken"""
        return current.services.schedules.list(current.ctx, self.kind, guest, page)

    @blp.arguments(ScheduleWriteSchema, example=_NIGHTLY)
    @blp.response(201, ScheduleSchema)
    def post(self, spec: ScheduleSpec, guest: str) -> Schedule:
        """Have backups taken by the clock; the oldest go when there are more than `keep`"""
        return current.services.schedules.create(current.ctx, self.kind, guest, spec)


class ScheduleView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, ScheduleSchema)
    def get(self, guest: str, schedule: str) -> Schedule:
        """Show a schedule"""
        return current.services.schedules.get(current.ctx, self.kind, guest, schedule)

    @blp.arguments(ScheduleWriteSchema, example=_NIGHTLY)
    @blp.response(200, ScheduleSchema)
    def put(self, spec: ScheduleSpec, guest: str, schedule: str) -> Schedule:
        """Replace a schedule; it is done with the rights of who replaced it"""
        return current.services.schedules.replace(current.ctx, self.kind, guest, schedule, spec)

    @blp.response(204)
    def delete(self, guest: str, schedule: str) -> None:
        """Delete a schedule; its backups stay"""
        current.services.schedules.delete(current.ctx, self.kind, guest, schedule)
