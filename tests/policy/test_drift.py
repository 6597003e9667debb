"""What differs, and what that is called."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.drift import DriftKind
from app.policy import drift

ROW = {"name": "web", "cores": 1, "memory": 128, "disk_gb": 8, "pool": "mine", "node": "n1"}

#: what is found -> kind
TABLE: list[tuple[dict[str, Any], DriftKind | None]] = [
    ({}, None),
    ({"name": "other"}, DriftKind.CHANGED),
    ({"cores": 2}, DriftKind.CHANGED),
    ({"memory": 64}, DriftKind.CHANGED),
    ({"disk_gb": 9}, DriftKind.CHANGED),
    ({"node": "n2"}, DriftKind.MOVED),
    ({"node": "n2", "memory": 256}, DriftKind.CHANGED),
    ({"pool": None}, DriftKind.OUTSIDE_POOL),
    ({"pool": "nobodys"}, DriftKind.OUTSIDE_POOL),
    ({"pool": "theirs"}, DriftKind.MOVED),
    ({"pool": "theirs", "memory": 256, "node": "n2"}, DriftKind.MOVED),
    ({"pool": None, "memory": 256}, DriftKind.OUTSIDE_POOL),
]

rows = st.fixed_dictionaries({field: st.integers(0, 3) for field in ROW})


@pytest.mark.parametrize(("found", "kind"), TABLE, ids=str)
def test_what_is_found_has_its_kind(found: dict[str, Any], kind: DriftKind | None) -> None:
    differing = drift.differences(ROW, {**ROW, **found})
    assert differing == {field: {"expected": ROW[field], "found": value} for field, value in found.items()}
    assert drift.kind_of(differing, {"mine", "theirs"}) == kind


@given(rows, st.lists(rows, max_size=4))
def test_what_was_agreed_is_remembered_whatever_is_found_later(
    agreed: dict[str, int], readings: list[dict[str, int]]
) -> None:
    """Our row follows each reading, and what differs is still told against what was agreed at first."""
    row, known = agreed, drift.differences(agreed, agreed)
    for found in readings:
        known = drift.differences(drift.agreed(row, known), found)
        row = found
        assert drift.agreed(row, known) == agreed
        assert known.keys() == {field for field in agreed if agreed[field] != found[field]}


@given(rows, rows, rows)
def test_what_an_operation_of_ours_changed_since_is_agreed(
    agreed: dict[str, int], found: dict[str, int], asked: dict[str, int]
) -> None:
    known = drift.differences(agreed, found)
    after = drift.agreed(asked, known)
    for field, value in asked.items():
        assert after[field] == (value if value != found[field] else agreed[field])
