"""Snapshots of guests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.identifiers import SnapshotName


class SnapshotState(StrEnum):
    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


@dataclass(frozen=True)
class SnapshotSpec:
    """`vmstate`: with the memory of a running VM."""

    name: SnapshotName
    description: str
    vmstate: bool


@dataclass(frozen=True)
class Snapshot:
    """`parent` is the snapshot that it was taken on top of. `cores`, `memory` (MiB) and `disk_gb` (GiB) are the size
    that the guest had, and has again after a rollback."""

    name: str
    description: str
    vmstate: bool
    parent: str | None
    state: SnapshotState
    cores: int
    memory: int
    disk_gb: int
    created_at: datetime
