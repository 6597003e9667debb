"""When a schedule comes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, time, timedelta

from app.domain.backups import Day


def following(at: str, days: Collection[str], after: datetime) -> datetime:
    """The first moment later than `after` (UTC) that is `at` (HH:MM) on one of these days; there is at least one."""
    hour, _, minute = at.partition(":")
    today = datetime.combine(after.date(), time(int(hour), int(minute)), after.tzinfo)
    wanted = {list(Day).index(Day(day)) for day in days}
    moments = (today + timedelta(days=number) for number in range(8))
    return next(moment for moment in moments if moment > after and moment.weekday() in wanted)
