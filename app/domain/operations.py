"""Our long work. A PVE task is one piece of it; an operation is what the caller follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class OperationState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    UNWINDING = "unwinding"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STUCK = "stuck"
    CANCELLED = "cancelled"


#: While an operation is in one of these, its guest takes no other one.
OPEN_STATES = (OperationState.PENDING, OperationState.RUNNING, OperationState.UNWINDING, OperationState.STUCK)
#: Nothing moves any more without somebody's help.
FINAL_STATES = (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.STUCK, OperationState.CANCELLED)


class StepState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


@dataclass(frozen=True)
class OperationStep:
    name: str
    state: StepState
    upid: str | None


@dataclass(frozen=True)
class Operation:
    """An operation as its reader sees it; times are UTC. `error` is a problem document, `result` the saga's."""

    id: str
    type: str
    state: OperationState
    tenant: str | None
    guest: str | None
    steps: Sequence[OperationStep]
    progress: float
    queue_position: int | None
    error: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class OperationFilter:
    state: str | None = None
    guest: str | None = None
    tenant: str | None = None
    type: str | None = None
