"""When a schedule comes next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.policy.schedules import following

EVERY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.mark.parametrize(
    ("at", "days", "after", "expected"),
    [
        ("02:30", EVERY, "2026-03-02T02:29:59", "2026-03-02T02:30"),
        ("02:30", EVERY, "2026-03-02T02:30:00", "2026-03-03T02:30"),
        ("02:30", ("mon",), "2026-03-02T02:30:00", "2026-03-09T02:30"),  # a Monday
        ("23:59", ("sun", "wed"), "2026-03-02T12:00:00", "2026-03-04T23:59"),
        ("00:00", ("sat",), "2027-12-31T23:59:59", "2028-01-01T00:00"),
        ("00:00", ("tue",), "2028-02-28T00:00:00", "2028-02-29T00:00"),
    ],
)
def test_the_first_moment_after(at: str, days: tuple[str, ...], after: str, expected: str) -> None:
    found = following(at, days, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)
