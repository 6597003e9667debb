"""Waits for PVE's tasks on behalf of all operations: one look at each cluster per interval, whatever their number."""

from __future__ import annotations

import structlog
from dbos import DBOS, SendMessage

from app.db import operations
from app.db.session import Database
from app.operations.engine import Tasks

log = structlog.get_logger(__name__)


class Watcher:
    def __init__(self, db: Database, tasks: Tasks) -> None:
        self._db = db
        self._tasks = tasks

    def look(self) -> int:
        """Wake every operation whose task has ended; returns how many are still waited for.

        A message may be sent twice (killed between sending and noting it), never lost; each task has its own topic.
        """
        with self._db.read() as tx:
            watched = operations.watched(tx)
        if not watched:
            return 0
        ended = self._tasks.ended({upid: operation for operation, _, upid in watched})
        DBOS.send_bulk(
            [SendMessage(workflow, dict(ended[upid]), topic=upid) for _, workflow, upid in watched if upid in ended]
        )
        with self._db.begin() as tx:
            operations.unwatch(tx, ended)
        return len(watched) - len(ended)
