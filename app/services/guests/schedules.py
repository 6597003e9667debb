"""Backups by the clock: when they are taken, and how many stay. The keeper's chore begins them as their maker would."""

from __future__ import annotations

import uuid

import structlog

from app.db import audit, backup_schedules, guests, members, operations, tenants, users
from app.db.models import BackupSchedule, Guest
from app.db.session import Tx, now
from app.domain.access import Caller, Context, Privilege, UserRole
from app.domain.backups import BackupMode, BackupSpec, Compression, Schedule, ScheduleSpec
from app.domain.errors import AppError, Conflict, Forbidden
from app.domain.guests import GuestKind
from app.domain.identifiers import StorageId
from app.domain.paging import Page, PageRequest
from app.domain.tenants import TenantState
from app.policy import rules, schedules
from app.services.guests.backups import BackingUp, require_plain, storage_for

_MOST = 10

log = structlog.get_logger(__name__)


class Schedules(BackingUp):
    def list(self, ctx: Context, kind: GuestKind, ref: str, request: PageRequest) -> Page[Schedule]:
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            return backup_schedules.page(tx, row, request)

    def get(self, ctx: Context, kind: GuestKind, ref: str, schedule: str) -> Schedule:
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            return backup_schedules.view(tx, backup_schedules.find(tx, row.id, schedule))

    def create(self, ctx: Context, kind: GuestKind, ref: str, spec: ScheduleSpec) -> Schedule:
        """Raises Invalid for a storage outside the tenant's; Conflict `backup.schedules` where there are too many."""
        with self._db.begin() as tx:
            row = self._for_change(tx, ctx, kind, ref)
            if backup_schedules.of_guest(tx, row.id) >= _MOST:
                raise Conflict(
                    f"The guest has {_MOST} schedules.", code="backup.schedules", remedy="Change or delete one of them."
                )
            made = BackupSchedule(id=str(uuid.uuid4()), guest_id=row.id)
            _write(tx, ctx, row, made, spec)
            tx.add(made)
            tx.flush()
            _audit(tx, ctx, row, "create")
            return backup_schedules.view(tx, made)

    def replace(self, ctx: Context, kind: GuestKind, ref: str, schedule: str, spec: ScheduleSpec) -> Schedule:
        """From now on it is done with the rights of who changed it."""
        with self._db.begin() as tx:
            row = self._for_change(tx, ctx, kind, ref)
            found = backup_schedules.find(tx, row.id, schedule)
            _write(tx, ctx, row, found, spec)
            tx.flush()
            _audit(tx, ctx, row, "change")
            return backup_schedules.view(tx, found)

    def delete(self, ctx: Context, kind: GuestKind, ref: str, schedule: str) -> None:
        """Its backups stay."""
        with self._db.begin() as tx:
            row = self._for_change(tx, ctx, kind, ref)
            tx.delete(backup_schedules.find(tx, row.id, schedule))
            _audit(tx, ctx, row, "delete")

    def run(self) -> None:
        """Begin what is due, and the deletion of what is more than is kept; a busy guest's turn is the next round.

        What is refused (quota, rights, no storage) is noted, and the schedule waits for its next moment.
        """
        with self._db.read() as tx:
            due, overfull = backup_schedules.due(tx, now()), backup_schedules.overfull(tx)
        for schedule in due:
            try:
                self._run(schedule)
            except AppError as error:
                log.warning("schedule.refused", schedule=schedule, code=error.code)
                self._pass_over(schedule, error.code)
        for schedule in overfull:
            try:
                self._prune(schedule)
            except AppError as error:
                log.warning("schedule.not_pruned", schedule=schedule, code=error.code)

    def _run(self, schedule: str) -> None:
        with self._db.begin() as tx:
            found, row = _of(tx, schedule)
            if found is None or row is None or found.next_at > now():
                return
            ctx = _as_maker(tx, found, row)
            spec = BackupSpec(
                BackupMode(found.mode), Compression(found.compress), found.notes,
                StorageId(found.storage) if found.storage is not None else None,
            )  # fmt: skip
            self._take(tx, ctx, row, spec, found.id)
            _pass(found, None)

    def _pass_over(self, schedule: str, code: str) -> None:
        with self._db.begin() as tx:
            found, _ = _of(tx, schedule)
            if found is not None:
                _pass(found, code)

    def _prune(self, schedule: str) -> None:
        """The oldest goes."""
        with self._db.begin() as tx:
            found, row = _of(tx, schedule)
            if found is None or row is None:
                return
            kept = backup_schedules.kept(tx, found.id)
            if len(kept) <= found.keep or kept[0].id == found.going:
                return
            self._drop(tx, _as_maker(tx, found, row), row, kept[0])
            found.going = kept[0].id

    def _for_change(self, tx: Tx, ctx: Context, kind: GuestKind, ref: str) -> Guest:
        row = self._found(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
        tenants.lock(tx, row.tenant_id)
        return guests.again(tx, row)


def _write(tx: Tx, ctx: Context, row: Guest, found: BackupSchedule, spec: ScheduleSpec) -> None:
    require_plain(spec.backup)
    storage_for(tx, row, spec.backup.storage)
    found.user_id = ctx.caller.user
    found.at, found.days, found.keep = spec.at, list(spec.days), spec.keep
    found.mode, found.compress, found.notes = spec.backup.mode, spec.backup.compress, spec.backup.notes
    found.storage = spec.backup.storage
    found.next_at = schedules.following(spec.at, spec.days, now())


def _audit(tx: Tx, ctx: Context, row: Guest, verb: str) -> None:
    audit.record(tx, ctx, f"{row.kind}.backup_schedule.{verb}", tenant=row.tenant_id, guest=row.id, subject=row.name)


def _of(tx: Tx, schedule: str) -> tuple[BackupSchedule | None, Guest | None]:
    """The schedule, and its guest where that is free; its tenant is locked."""
    found = backup_schedules.again(tx, schedule)
    row = guests.get(tx, found.guest_id) if found is not None else None
    if row is None:
        return None, None
    is_ready = tenants.lock(tx, row.tenant_id).state == TenantState.ACTIVE
    is_free = is_ready and operations.open_on(tx, row.id) is None
    return backup_schedules.again(tx, schedule), row if is_free else None


def _as_maker(tx: Tx, found: BackupSchedule, row: Guest) -> Context:
    """Raises Forbidden where he may not do it any more."""
    user = users.find(tx, found.user_id)
    if user.disabled:
        raise Forbidden("The maker of the schedule is disabled.")
    caller = Caller(user.id, user.username, UserRole(user.role), session="")
    ctx = Context(caller, members.of_user(tx, user.id), request_id=found.id, address="")
    rules.require(ctx, Privilege.GUEST_ALLOCATE, on=row.tenant_id)
    return ctx


def _pass(found: BackupSchedule, error: str | None) -> None:
    """It has come; several moments that nobody was there for are one."""
    found.last_at, found.last_error, found.going = now(), error, None
    found.next_at = schedules.following(found.at, found.days, now())
