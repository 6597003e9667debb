"""The worker process: the engine's executor, its lease, and the chores that one worker does for all.

Each worker renews a lease. The oldest living one is the keeper: it watches tasks, does the chores, and takes over what
workers left whose lease is over; that of one which ended on this host is over at once. A worker that finds itself
declared dead ends at once, as nothing that it still does could be trusted; its supervisor starts a new one.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig

from app.db import operations
from app.db.models import Worker as WorkerRow
from app.db.session import Database
from app.domain.errors import AppError
from app.operations import adoption
from app.operations.engine import APPLICATION_NAME, APPLICATION_VERSION, Execution
from app.operations.presence import Presence
from app.operations.saga import Saga
from app.operations.sleepers import Sleepers
from app.operations.watcher import Tasks, Watcher

LEASE = timedelta(seconds=6)
#: How long a dead worker is looked after: as long as one may have been stopped and yet wake up.
_REMEMBERED = timedelta(days=1)
_BEAT = 1.0
_WATCH = 0.25
_FENCED_EXIT = 75
#: With the embedded database all processes share one machine: somebody waits for each request, nobody for a step.
_NICENESS = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Queue:
    """`per_lane` operations of one lane, and `total` of all, are carried out at once; it is looked into each `interval`
    seconds."""

    name: str
    per_lane: int
    total: int
    interval: float = 0.2


@dataclass(frozen=True)
class Chore:
    """Something that the keeper does every `interval` seconds (a number, or what gives one)."""

    name: str
    interval: float
    do: Callable[[], None]


class Worker:
    """One worker. `run` blocks until SIGTERM or SIGINT."""

    def __init__(
        self,
        db: Database,
        sagas: Mapping[str, Saga],
        tasks: Tasks,
        gateways: Any,
        queues: Sequence[Queue],
        chores: Sequence[Chore],
        presence: Presence,
    ) -> None:
        self.id = str(uuid.uuid4())
        self._db = db
        self._queues = queues
        self._chores = chores
        self._presence = presence
        self._watcher = Watcher(db, tasks)
        self._sleepers = Sleepers(db)
        self._ending = threading.Event()
        self._is_keeper = threading.Event()
        self._looked_after_at = 0.0
        self._dbos = DBOS(config=dbos_config(db, self.id))
        self._execution = Execution(db, sagas, self._sleepers, gateways, self.id, leave=_leave)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._ending.set())
        if self._db.is_sqlite:
            os.nice(_NICENESS)
        self.start()
        log.info("worker.ready", worker=self.id)
        self._ending.wait()
        self.stop()

    def start(self) -> None:
        self._presence.begin(self.id)
        with self._db.begin() as tx:
            tx.add(WorkerRow(id=self.id, host=socket.gethostname()))
        DBOS.launch()
        for queue in self._queues:
            DBOS.register_queue(
                queue.name,
                partition_concurrency=queue.per_lane,
                global_concurrency=queue.total,
                polling_interval_sec=queue.interval,
                on_conflict="always_update",
            )
        self._thread("lease", _BEAT, self._beat, rests=False)
        self._thread("succession", _BEAT, self._keeping(self._take_over))
        self._thread("watcher", _WATCH, self._look)
        for chore in self._chores:
            self._thread(chore.name, chore.interval, self._keeping(chore.do))

    def stop(self) -> None:
        """Give the work back: what is in flight goes on elsewhere, or at the next start."""
        self._ending.set()
        DBOS.destroy()
        with self._db.begin() as tx:
            operations.end_lease(tx, self.id, LEASE)
        log.info("worker.ended", worker=self.id)

    def _beat(self) -> None:
        with self._db.begin() as tx:
            alive = operations.beat(tx, self.id)
            workers = []
            for worker in operations.workers_alive(tx, LEASE):
                if self._presence.has_ended(worker.id):
                    operations.end_lease(tx, worker.id, LEASE)
                else:
                    workers.append(worker)
        if not alive:
            log.critical("worker.declared_dead", worker=self.id)
            _leave()
        if workers and workers[0].id == self.id:
            self._is_keeper.set()
        else:
            self._is_keeper.clear()

    def _take_over(self) -> None:
        """What dead workers left goes on here.

        One that was only too slow may take more from the queue before it learns of its death: so the dead are looked
        after again each lease.
        """
        with self._db.read() as tx:
            dead = operations.dead(tx, LEASE)
        new = [worker.id for worker in dead if not worker.fenced]
        if not dead or (not new and time.monotonic() < self._looked_after_at + LEASE.total_seconds()):
            return
        with self._db.begin() as tx:
            operations.hand_over(tx, new, self.id)
            adopted = adoption.adopt(tx, self._dbos, [worker.id for worker in dead], self.id)
            operations.bury(tx, _REMEMBERED)
        self._begin(adopted)
        self._looked_after_at = time.monotonic()
        for worker in new:
            self._presence.forget(worker)
        if new:
            log.warning("worker.took_over", dead=new, runs=len(adopted.runs))

    def _begin(self, adopted: adoption.Adopted) -> None:
        """What is this worker's and is not begun would wait for ever: it leaves rather, for the next to adopt."""
        try:
            adoption.begin(self._dbos, adopted)
        except Exception:
            log.exception("worker.cannot_begin")
            _leave()

    def _look(self) -> None:
        if self._is_keeper.is_set():
            self._watcher.look()
        self._sleepers.wake()

    def _keeping(self, do: Callable[[], None]) -> Callable[[], None]:
        def if_keeper() -> None:
            if self._is_keeper.is_set():
                do()

        return if_keeper

    def _thread(self, name: str, interval: float, do: Callable[[], None], *, rests: bool = True) -> None:
        """`rests`: what takes longer than its interval rests as long as it took, as others wait for their turn."""

        def loop() -> None:
            while not self._ending.is_set():
                began = time.monotonic()
                try:
                    do()
                except AppError as error:
                    log.warning("chore.failed", chore=name, code=error.code, reason=error.log or error.detail)
                except Exception:  # the worker's edge: a chore that breaks is told, and tried again
                    log.exception("chore.broken", chore=name)
                took = time.monotonic() - began
                self._ending.wait(max(interval - took, took if rests else 0.05))

        threading.Thread(target=loop, name=name, daemon=True).start()


def dbos_config(db: Database, executor: str) -> DBOSConfig:
    return DBOSConfig(
        name=APPLICATION_NAME,
        system_database_url=db.engine.url.render_as_string(hide_password=False),
        system_database_engine=db.engine_that_mostly_reads() if db.is_sqlite else None,
        executor_id=executor,
        application_version=APPLICATION_VERSION,
        log_level="WARNING",
        sys_db_pool_size=20,
    )


def migrate(db: Database) -> None:
    """Make DBOS' own tables beside ours."""
    DBOS(config=dbos_config(db, "migration"))
    try:
        DBOS.launch()
    finally:
        DBOS.destroy(destroy_registry=True)


def _leave() -> None:
    os._exit(_FENCED_EXIT)
