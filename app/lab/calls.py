"""The log of calls: what came, from whom, and how it was answered."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

_KEPT = 200_000


@dataclass
class CallLog:
    """The last 200,000 calls, oldest first, numbered from 1."""

    last: int = 0
    rows: deque[tuple[int, float, str, str, str, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, method: str, path: str, user: str, status: int) -> None:
        self.last += 1
        self.rows.append((self.last, time.time(), method, path, user, status))

    def since(self, cursor: int) -> list[dict[str, Any]]:
        """The calls after the one with this number."""
        return [
            {"n": number, "at": at, "method": method, "path": path, "user": user, "status": status}
            for number, at, method, path, user, status in self.rows
            if number > cursor
        ]

    def clear(self) -> None:
        self.rows.clear()
