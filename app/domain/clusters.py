"""Clusters and their nodes, as a caller sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ClusterAnswer:
    """That a cluster took our credential; `latency_ms` is what its answer took."""

    cluster: str
    version: str
    release: str
    repoid: str
    latency_ms: float


@dataclass(frozen=True)
class Amount:
    total: int
    used: int


@dataclass(frozen=True)
class Cpu:
    """`used` of `total` cores, 0..total."""

    total: int
    used: float


@dataclass(frozen=True)
class NodeCount:
    total: int
    online: int


@dataclass(frozen=True)
class GuestCount:
    """`unmanaged` are the cluster's guests that no tenant has; None for who may not know of them."""

    total: int
    states: Mapping[str, int]
    unmanaged: int | None


@dataclass(frozen=True)
class ClusterSummary:
    """`memory` in MiB, `disk` in GiB. What is None is not the caller's to know, or, as `unreachable` tells, not to be
    had now: it is the code of what keeps the cluster from answering."""

    cluster: str
    nodes: NodeCount
    guests: GuestCount
    cpu: Cpu | None
    memory: Amount | None
    disk: Amount | None
    quorate: bool | None
    unreachable: str | None
    observed_at: datetime | None


@dataclass(frozen=True)
class Node:
    """As the inventory last saw it; `memory` and `memory_used` in MiB. Sizes are None for who may not know them."""

    name: str
    cluster: str
    online: bool
    cores: int | None
    memory: int | None
    memory_used: int | None
    observed_at: datetime | None


@dataclass(frozen=True)
class Task:
    """A task of PVE's. `state` is "running" or "stopped"; `ok`: it ended well, be it with warnings."""

    upid: str
    node: str
    type: str
    subject: str
    user: str
    state: str
    exitstatus: str | None
    ok: bool
    started_at: datetime


@dataclass(frozen=True)
class TaskLine:
    """`n` counts from 1."""

    n: int
    text: str


@dataclass(frozen=True)
class NodeTask:
    """A task of PVE's. `status` is "running", or how it ended: "OK", "WARNINGS: n", or what went wrong."""

    upid: str
    node: str
    type: str
    subject: str
    user: str
    status: str
    started_at: datetime
    ended_at: datetime | None
