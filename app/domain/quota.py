"""What a tenant, or one user in it, may have and has."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


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
