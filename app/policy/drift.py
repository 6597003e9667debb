"""What differs between what was agreed and what stands in PVE, and which kind of drift that is.

Our row follows what stands there, so that what exists is what is shown and charged; what was agreed is remembered in
the differences, until somebody agrees to something else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from app.domain.drift import Difference, DriftKind

SIZES = ("cores", "memory", "disk_gb")
FIELDS = ("name", *SIZES)
POOL, NODE = "pool", "node"


def agreed(row: Mapping[str, Any], known: Mapping[str, Difference]) -> dict[str, Any]:
    """What was agreed on for each field of our row. A known difference counts as long as the row still says what was
    found then: an operation of ours that has changed it since was an agreement."""
    return {
        field: known[field]["expected"] if field in known and known[field]["found"] == value else value
        for field, value in row.items()
    }


def differences(agreed: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        field: {"expected": agreed[field], "found": value} for field, value in found.items() if agreed[field] != value
    }


def kind_of(differing: Mapping[str, Difference], pools: Collection[str]) -> DriftKind | None:
    """The gravest that the differences of a guest that is there come to; None where there is none.

    `pools` are those of tenants: a guest that left its pool for one of these has a new home, else it has none.
    """
    if POOL in differing:
        return DriftKind.MOVED if differing[POOL]["found"] in pools else DriftKind.OUTSIDE_POOL
    if not differing.keys().isdisjoint(FIELDS):
        return DriftKind.CHANGED
    return DriftKind.MOVED if differing else None


def in_words(differing: Mapping[str, Difference]) -> str:
    """For the audit log of the tenant, which is not told of other pools: `memory 128 -> 256, pool a -> left`."""
    return ", ".join(
        f"{field} {one['expected']} -> {'left' if field == POOL else one['found']}" for field, one in differing.items()
    )


def for_members(differing: Mapping[str, Difference]) -> dict[str, Difference]:
    """Without the name of a pool that is not their tenant's."""
    return {field: {**one, "found": None} if field == POOL else one for field, one in differing.items()}
