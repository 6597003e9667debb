"""`python -m bench.bare_engine FOLDER COUNT`: the engine alone carries COUNT operations out, and says in how many
seconds. A container's six steps, two of them with a task, and none of them does anything."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.db import schema
from app.db.models import Operation
from app.db.session import Database
from app.domain.access import Caller, Context, UserRole
from app.domain.identifiers import Upid
from app.domain.operations import OperationState
from app.operations import Engine, Run, Saga, Step
from app.operations.engine import Submission, TaskEnd
from app.operations.presence import Presence
from app.operations.worker import Queue, Worker, migrate

_CTX = Context(Caller("u1", "admin", UserRole.ADMIN, "s1"), {}, "bench", "127.0.0.1")


@dataclass(frozen=True)
class Parameters:
    number: int


class AllEnded:
    def ended(self, upids: Mapping[str, str]) -> Mapping[str, TaskEnd]:
        return {upid: {"ok": True, "again": False, "problem": None} for upid in upids}


def begin_task(run: Run, p: Parameters) -> Upid:
    return Upid(f"UPID:n1:{p.number:08X}:{abs(hash(run.operation)) % 16**8:08X}:00000001:vzcreate:{p.number}:root@pam:")


def nothing(_run: Run, _p: Parameters) -> None:
    """As a step in which there is nothing to do."""


SAGA = Saga(
    "bare",
    Parameters,
    steps=(
        Step("reserved"),
        Step("created", begin_task),
        Step("verified", nothing),
        Step("configured", nothing),
        Step("started", begin_task),
        Step("active", nothing),
    ),
)


def main(folder: str, count: int) -> None:
    db = Database(f"sqlite:///{folder}/engine.db")
    schema.upgrade(db)
    migrate(db)
    sagas = {SAGA.type: SAGA}
    worker = Worker(db, sagas, AllEnded(), None, [Queue("node", 16, 2000)], [], Presence(Path(folder)))
    worker.start()
    engine = Engine(db, sagas)
    began = time.monotonic()
    for number in range(count):
        with db.begin() as tx:
            engine.submit(tx, _CTX, SAGA, Parameters(number), Submission("t1", None, "node", f"t1/n{number % 2}"))
    while _ended(db) < count:
        time.sleep(0.1)
    seconds = time.monotonic() - began
    worker.stop()
    db.close()
    print(json.dumps({"seconds": seconds}))  # last: the engine's own words go the same way


def _ended(db: Database) -> int:
    with db.read() as tx:
        done = Operation.state == OperationState.SUCCEEDED
        return tx.scalar(sa.select(sa.func.count()).select_from(Operation).where(done)) or 0


main(sys.argv[1], int(sys.argv[2]))
