"""The connections of a process: one per endpoint and credential, as a client per call costs forty times more."""

from __future__ import annotations

import threading
from collections import OrderedDict

from app.pve.client import Client, Pve
from app.pve.endpoint import ApiToken, Endpoint
from app.pve.line import Limits, Line

#: Identities are light: they share the pool of their endpoint.
MOST_IDENTITIES = 4096


class PveConnections:
    """Hands out `Pve`s, pooled and cached. Thread-safe; one per process, made after forking."""

    def __init__(self, *, pool_size: int = 24, limits: Limits | None = None) -> None:
        self._pool_size = pool_size
        self._limits = limits or Limits(calls=pool_size)
        self._lock = threading.Lock()
        self._lines: dict[Endpoint, Line] = {}
        self._seen: OrderedDict[tuple[Endpoint, ApiToken], Pve] = OrderedDict()

    def connect(self, endpoint: Endpoint, token: ApiToken) -> Pve:
        """The cluster as this token sees it. Nothing is sent before the first call."""
        key = (endpoint, token)
        with self._lock:
            if key not in self._seen:
                self._seen[key] = Pve(Client(self._line(endpoint), token))
            self._seen.move_to_end(key)
            while len(self._seen) > MOST_IDENTITIES:
                self._seen.popitem(last=False)
            return self._seen[key]

    def forget(self, endpoint: Endpoint) -> None:
        """Close what is pooled for an endpoint that has changed or gone; calls in flight end by themselves."""
        with self._lock:
            line = self._lines.pop(endpoint, None)
            for key in [key for key in self._seen if key[0] == endpoint]:
                del self._seen[key]
        if line is not None:
            line.close()

    def close(self) -> None:
        with self._lock:
            lines = list(self._lines.values())
            self._lines.clear()
            self._seen.clear()
        for line in lines:
            line.close()

    def _line(self, endpoint: Endpoint) -> Line:
        if endpoint not in self._lines:
            self._lines[endpoint] = Line(endpoint, self._limits, pool_size=self._pool_size)
        return self._lines[endpoint]
