"""Disks of guests."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.identifiers import DiskName, StorageId


@dataclass(frozen=True)
class DiskSpec:
    """A disk that is to be made: `size_gb` GiB; `path` is where a container mounts it."""

    size_gb: int
    storage: StorageId | None = None
    path: str | None = None


@dataclass(frozen=True)
class Disk:
    """`size_gb` whole GiB, rounded down; `path` of a container's only; `boot`: the guest starts from it."""

    name: DiskName
    size_gb: int
    storage: StorageId
    volid: str
    path: str | None
    boot: bool
