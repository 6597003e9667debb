"""Backups of guests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.identifiers import GuestName, StorageId, VmId


class BackupState(StrEnum):
    """MISSING is said of one that PVE does not have any more."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"
    MISSING = "missing"


class BackupMode(StrEnum):
    """In PVE's words: SNAPSHOT while it runs, SUSPEND with a pause, STOP shuts it down and starts it again."""

    SNAPSHOT = "snapshot"
    SUSPEND = "suspend"
    STOP = "stop"


class Compression(StrEnum):
    NONE = "0"
    GZIP = "gzip"
    LZO = "lzo"
    ZSTD = "zstd"


@dataclass(frozen=True)
class BackupSpec:
    """`storage` None: the one with the most room of those that the tenant may use."""

    mode: BackupMode
    compress: Compression
    notes: str
    storage: StorageId | None = None


@dataclass(frozen=True)
class Backup:
    """`size` bytes, of the archive. `cores`, `memory` (MiB) and `disk_gb` (GiB) are what a restore brings back;
    `schedule` is the one that it was taken by."""

    id: str
    guest: str
    storage: str
    node: str
    volid: str | None
    mode: str
    compress: str
    notes: str
    state: BackupState
    size: int
    cores: int
    memory: int
    disk_gb: int
    schedule: str | None
    created_at: datetime


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


@dataclass(frozen=True)
class ScheduleSpec:
    """A backup at `at` (HH:MM, UTC) on each of `days`; of its backups the newest `keep` stay."""

    at: str
    days: tuple[Day, ...]
    keep: int
    backup: BackupSpec


@dataclass(frozen=True)
class Schedule:
    """`next_at` is when it comes, `last_at` when it last came; `last_error` the code of what it was refused with then.
    `maker` is the user with whose rights it is done."""

    id: str
    guest: str
    at: str
    days: Sequence[str]
    keep: int
    mode: str
    compress: str
    notes: str
    storage: str | None
    maker: str
    next_at: datetime
    last_at: datetime | None
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True)
class RestoreSpec:
    """`as_new`: as another guest, with a name, vmid and storage of its own where they are given."""

    as_new: bool
    start: bool
    name: GuestName | None = None
    vmid: VmId | None = None
    storage: StorageId | None = None


def backup_mark(backup: str) -> str:
    """The first line of an archive's notes, by which a lost one is found again among those of its guest."""
    return f"poolhouse-backup: {backup}"
