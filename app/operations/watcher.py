"""Waiting for PVE's tasks: one look at each cluster per interval, whatever the number of operations that wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from app.db import operations
from app.db.session import Database
from app.operations.engine import TaskEnd


class Tasks(Protocol):
    """What the watcher needs to know of PVE's tasks."""

    def ended(self, upids: Mapping[str, str]) -> Mapping[str, TaskEnd]:
        """Of the given tasks (UPID -> operation) those that have ended, and how; not those of clusters away."""


class Watcher:
    """The keeper's: writes down how tasks ended."""

    def __init__(self, db: Database, tasks: Tasks) -> None:
        self._db = db
        self._tasks = tasks

    def look(self) -> None:
        with self._db.read() as tx:
            watched = operations.watched(tx)
        if not watched:
            return
        if ends := self._tasks.ended(watched):
            with self._db.begin() as tx:
                operations.note_ends(tx, ends)
