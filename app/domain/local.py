"""The local hypervisor: what its host is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class LocalHost:
    """As the worker last saw it. `memory` and `free_memory` MiB; `accelerator` has `type` and `reason`; `interfaces`
    have `name`, `up` and `mac`."""

    hypervisor: str
    library: str
    accelerator: Mapping[str, str]
    cores: int
    cpu: str
    memory: int
    free_memory: int
    cpu_models: Sequence[str]
    features: Sequence[str]
    bridges: Sequence[str]
    interfaces: Sequence[Mapping[str, Any]]
    observed_at: datetime


@dataclass(frozen=True)
class Trouble:
    """Why the local hypervisor cannot be used, and what mends that."""

    code: str
    detail: str
    remedy: str | None
