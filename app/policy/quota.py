"""How much: the one decision about growth."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.errors import QuotaExceeded
from app.domain.quota import Amounts, Dimension, Limits


def check(limits: Limits, *, used: Mapping[Dimension, int], demand: Amounts, whose: str = "tenant") -> None:
    """Raises QuotaExceeded for the first dimension that the demand would carry over its limit.

    A demand of nothing in a dimension always passes, also where its limit was set below what is used.
    """
    for dimension, requested in demand.items():
        limit = limits.get(dimension)
        if limit is not None and requested > 0 and used[dimension] + requested > limit:
            raise QuotaExceeded(dimension, limit=limit, used=used[dimension], requested=requested, whose=whose)


def binding(
    limits: Limits, used: Mapping[Dimension, int], *, own_limits: Limits, own_used: Mapping[Dimension, int]
) -> tuple[dict[Dimension, int | None], dict[Dimension, int]]:
    """For one user: in every dimension the limit that leaves less room, of the tenant's and his own in it, None where
    there is neither, and the use that counts against that one. The first two are the tenant's; of equals the tenant's
    binds."""
    shown: dict[Dimension, int | None] = {}
    counted: dict[Dimension, int] = {}
    for dimension in Dimension:
        limit, own = limits.get(dimension), own_limits.get(dimension)
        binds = own is not None and (limit is None or own - own_used[dimension] < limit - used[dimension])
        shown[dimension] = own if binds else limit
        counted[dimension] = (own_used if binds else used)[dimension]
    return shown, counted


def growth(held: Amounts, wanted: Amounts) -> Amounts:
    """What must come on top of what is held to have what is wanted; nothing where that is less."""
    return {dimension: max(0, amount - held.get(dimension, 0)) for dimension, amount in wanted.items()}


def of_guest(*, cores: int, memory: int, disk_gb: int, networks: int = 1) -> Amounts:
    """What a guest of this size takes, stopped. `memory` MiB."""
    return {
        Dimension.GUESTS: 1,
        Dimension.CORES: cores,
        Dimension.MEMORY: memory,
        Dimension.DISK_GB: disk_gb,
        Dimension.NETWORKS: networks,
    }


def of_running(*, cores: int, memory: int) -> Amounts:
    """What it takes on top while it runs."""
    return {Dimension.RUNNING_CORES: cores, Dimension.RUNNING_MEMORY: memory}
