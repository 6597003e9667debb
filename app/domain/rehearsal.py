"""A request that is tried and not carried out: what it would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.errors import AppError
from app.domain.quota import Dimension


@dataclass
class Rehearsal:
    """Noted while the transaction runs that nothing is kept of: operations by id, where guests would go (the policy's
    own answers), and what would be refused."""

    operations: list[str] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    violations: list[AppError] = field(default_factory=list)


@dataclass(frozen=True)
class PlannedCall:
    """A change for which PVE would be asked; `certain`: whatever state the guest is found in."""

    operation: str
    step: str
    method: str
    path: str
    certain: bool


@dataclass(frozen=True)
class QuotaForecast:
    """What one tenant may have then, and what is charged to it before, and once the request is accepted: what an
    operation gives back it gives back when it has ended."""

    tenant: str
    limits: Mapping[Dimension, int | None]
    before: Mapping[Dimension, int]
    after: Mapping[Dimension, int]


@dataclass(frozen=True)
class Plan:
    """`placement` is that of the first guest that would be made; `quota` that of the tenant whose guests are concerned,
    None where there is none, or more than one."""

    placement: Any
    quota: QuotaForecast | None
    calls: Sequence[PlannedCall]
    violations: Sequence[AppError]
