"""The log of calls: what came, from whom, and how it was answered."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

_KEPT = 200_000
_LONGEST = 300
"""Characters kept of a path; a stranger may send longer ones without end."""
_MOST_NAMES = 40
_LONGEST_NAME = 40


class Row(NamedTuple):
    """One call. `at` is the lab's time, `seconds` are real ones, `parameters` their names."""

    n: int
    at: float
    method: str
    path: str
    user: str
    status: int
    seconds: float
    parameters: tuple[str, ...]


@dataclass
class CallLog:
    """The last 200,000 calls, oldest first, numbered from 1."""

    last: int = 0
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(
        self, at: float, method: str, path: str, user: str, status: int, seconds: float, parameters: Iterable[str]
    ) -> None:
        """Note a call; of very long paths and very many parameters only the beginning."""
        self.last += 1
        names = tuple(sorted(name[:_LONGEST_NAME] for name in islice(parameters, _MOST_NAMES)))
        self.rows.append(Row(self.last, at, method, path[:_LONGEST], user, status, round(seconds, 4), names))

    def since(self, cursor: int) -> list[dict[str, Any]]:
        """The calls after the one with this number."""
        known = max(0, len(self.rows) - max(0, self.last - cursor))
        return [row._asdict() for row in islice(self.rows, known, None)]

    def clear(self) -> None:
        self.rows.clear()
