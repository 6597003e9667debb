"""This worker's operations that wait for a task. Nothing is lost with them: what has ended stands in our tables."""

from __future__ import annotations

import asyncio

from app.db import operations
from app.db.session import Database


class Sleepers:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._asleep: dict[str, asyncio.Future[None]] = {}

    async def sleep(self, operation: str) -> None:
        """Until the task of this operation has ended."""
        self._asleep[operation] = asyncio.get_running_loop().create_future()
        await self._asleep[operation]

    def wake(self) -> None:
        """Those whose task has ended, with one query for all."""
        if not self._asleep:
            return
        with self._db.read() as tx:
            woken = operations.woken(tx)
        for operation in woken:
            sleeper = self._asleep.pop(operation, None)
            if sleeper is not None:
                sleeper.get_loop().call_soon_threadsafe(_end, sleeper)


def _end(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.cancelled():  # as those of a worker that is being stopped are
        sleeper.set_result(None)
