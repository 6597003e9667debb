"""Whether the house can be used."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from threading import Lock
from typing import Any

from app.db import clusters, operations
from app.db.models import Cluster
from app.db.session import Database, now
from app.domain.errors import AppError, Unavailable

_REMEMBERED = 1.0
#: What anybody may be told of a cluster's trouble: no name, address or wording of PVE's.
_TROUBLES: Mapping[str, str] = {
    "pve.unreachable": "the cluster does not answer",
    "pve.timeout": "the cluster does not answer in time",
    "pve.auth_failed": "the cluster does not take our credential",
}


class Health:
    """`stale` is the age of an inventory that is not believed any more; `lease` that of a worker."""

    def __init__(self, db: Database, *, lease: timedelta, stale: timedelta) -> None:
        self._db = db
        self._lease = lease
        self._stale = stale
        self._looking = Lock()
        self._looked = float("-inf")
        self._told: Mapping[str, Any] = {"database": "unknown", "proxmox": "unknown", "details": {}}

    def live(self) -> dict[str, Any]:
        """The process answers; what of it can be used is told from a look at the database, one a second for all
        callers. `database` and `proxmox` (the default cluster, as the inventory last saw it) are connected,
        disconnected or unknown. Asks PVE nothing, and waits for nobody else's look."""
        if time.monotonic() - self._looked >= _REMEMBERED and self._looking.acquire(blocking=False):
            try:
                self._told = self._look()
                self._looked = time.monotonic()
            finally:
                self._looking.release()
        told = self._told
        online = told["database"] == told["proxmox"] == "connected"
        return {"status": "online" if online else "unstable", **told, "server_time": now()}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Database, a worker and the default cluster, each `ok` or `down`; tells no names, addresses or errors."""
        parts = {"database": "down", "worker": "down", "cluster": "down"}
        try:
            with self._db.read() as tx:
                parts["database"] = "ok"
                if operations.workers_alive(tx, self._lease):
                    parts["worker"] = "ok"
                cluster = clusters.default(tx)
                if cluster.unreachable is None and self._is_fresh(cluster):
                    parts["cluster"] = "ok"
        except AppError:
            return False, {"status": "down", "parts": parts}
        ready = all(state == "ok" for state in parts.values())
        return ready, {"status": "ok" if ready else "down", "parts": parts}

    def _look(self) -> Mapping[str, Any]:
        try:
            with self._db.read() as tx:
                cluster = clusters.default(tx)
        except Unavailable as error:
            if error.code == "cluster.none":
                return {"database": "connected", "proxmox": "unknown", "details": {}}
            away = f"{error.code}: the database does not answer"
            return {"database": "disconnected", "proxmox": "unknown", "details": {"db_error": away}}
        if cluster.unreachable is not None:
            trouble = f"{cluster.unreachable}: {_TROUBLES.get(cluster.unreachable, 'the cluster cannot be read')}"
            return {"database": "connected", "proxmox": "disconnected", "details": {"proxmox_error": trouble}}
        seen = "connected" if self._is_fresh(cluster) else "unknown"
        return {"database": "connected", "proxmox": seen, "details": {}}

    def _is_fresh(self, cluster: Cluster) -> bool:
        return cluster.observed_at is not None and now() - cluster.observed_at < self._stale
