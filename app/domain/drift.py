"""Drift: what stands in PVE otherwise than was agreed here, changed behind our back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

#: {"expected": what was agreed, "found": what stands in PVE}
Difference = Mapping[str, Any]


class DriftKind(StrEnum):
    """`moved`: to another node, or into another tenant's pool. `unmanaged`: a guest that nobody made here."""

    CHANGED = "changed"
    MOVED = "moved"
    OUTSIDE_POOL = "outside_pool"
    MISSING = "missing"
    UNMANAGED = "unmanaged"


@dataclass(frozen=True)
class Drift:
    """`guest` None: it is none of ours. `differences` by field: name, cores, memory (MiB), disk_gb, pool, node."""

    id: str
    kind: DriftKind
    tenant: str
    guest: str | None
    cluster: str
    node: str
    vmid: int
    guest_kind: str
    name: str
    differences: Mapping[str, Difference]
    first_seen_at: datetime


@dataclass(frozen=True)
class DriftFilter:
    tenant: str | None = None
    kind: str | None = None
