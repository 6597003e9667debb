"""Whether the house can be used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.db import clusters, operations
from app.db.session import Database, now
from app.domain.errors import AppError


class Health:
    """`stale` is the age of an inventory that is not believed any more; `lease` that of a worker."""

    def __init__(self, db: Database, *, lease: timedelta, stale: timedelta) -> None:
        self._db = db
        self._lease = lease
        self._stale = stale

    def live(self) -> dict[str, Any]:
        """The process answers. Asks nobody."""
        return {"status": "ok"}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Database, a worker and the default cluster, each `ok` or `down`; tells no names, addresses or errors."""
        parts = {"database": "down", "worker": "down", "cluster": "down"}
        try:
            with self._db.read() as tx:
                parts["database"] = "ok"
                if operations.workers_alive(tx, self._lease):
                    parts["worker"] = "ok"
                cluster = clusters.default(tx)
                seen = cluster.observed_at
                if seen is not None and cluster.unreachable is None and now() - seen < self._stale:
                    parts["cluster"] = "ok"
        except AppError:
            return False, {"status": "down", "parts": parts}
        ready = all(state == "ok" for state in parts.values())
        return ready, {"status": "ok" if ready else "down", "parts": parts}
