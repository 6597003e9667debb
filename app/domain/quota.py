"""What a tenant, or one user in it, may have and has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.domain.access import UserRole


class Dimension(StrEnum):
    """Units: `memory` and `running_memory` MiB, `disk_gb` GiB, the others are counted.

    The first seven are allocated: they belong to what exists. `running_*` are claimed by start and freed by stop.
    """

    GUESTS = "guests"
    CORES = "cores"
    MEMORY = "memory"
    DISK_GB = "disk_gb"
    SNAPSHOTS = "snapshots"
    BACKUPS = "backups"
    NETWORKS = "networks"
    RUNNING_CORES = "running_cores"
    RUNNING_MEMORY = "running_memory"


Amounts = Mapping[Dimension, int]
Limits = Mapping[Dimension, int]
"""A dimension that is absent is unlimited."""


@dataclass(frozen=True)
class UserQuota:
    """A user's own limits and use in his home tenant; of a limit None is unlimited, and without a tenant all are 0.
    `group` is the name of the one that he is in."""

    user: str
    username: str
    role: UserRole
    group: str | None
    limits: Mapping[Any, int | None]
    used: Mapping[Any, int]
