"""A real worker in this process, on a real database, with small sagas that write down what they do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.db import operations, schema
from app.db.models import Worker as WorkerRow
from app.db.session import Database
from app.domain.access import EVERY_TENANT, Caller, Context, UserRole
from app.domain.errors import AppError, PveUnreachable
from app.domain.identifiers import Upid
from app.domain.operations import FINAL_STATES, Operation
from app.operations import Again, Engine, Run, Saga, Step
from app.operations.engine import Submission, TaskEnd
from app.operations.presence import Presence
from app.operations.worker import Queue, Worker, migrate

CTX = Context(Caller("u1", "admin", UserRole.ADMIN, "s1"), {}, "request-1", "127.0.0.1")


@dataclass
class World:
    """What the sagas of these tests touch: a diary, and how each named step is to behave the next times."""

    diary: list[tuple[str, ...]] = field(default_factory=list)
    behaviour: dict[str, list[Any]] = field(default_factory=dict)
    ends: dict[str, TaskEnd] = field(default_factory=dict)
    tasks: int = 0
    failures: list[tuple[Any, ...]] = field(default_factory=list)
    noted: list[Any] = field(default_factory=list)

    def act(self, name: str, run: Run) -> Any:
        """Write down the call; then the next behaviour: an error is raised, anything else returned."""
        self.diary.append((name, "again") if run.again else (name,))
        if name == "first":
            self.noted.append(run.outputs.get(name))
        if name == "second":
            self.failures.append(run.failures)
        queue = self.behaviour.get(name, [])
        todo = queue.pop(0) if queue else None
        if isinstance(todo, Exception):
            raise todo
        return todo() if callable(todo) else todo

    def start_task(self) -> Upid:
        self.tasks += 1
        return Upid(f"UPID:n1:{self.tasks:08X}:00000001:00000001:vzcreate:100:root@pam:")

    def ended(self, upids: dict[str, str]) -> dict[str, TaskEnd]:
        good: TaskEnd = {"ok": True, "again": False, "problem": None}
        return {upid: self.ends.get(upid, good) for upid in upids}


@dataclass(frozen=True)
class Parameters:
    name: str
    password: str | None = None


def steps_of(world: World, *names: str) -> tuple[Step, ...]:
    def do(name: str) -> Callable[[Run, Parameters], Any]:
        return lambda run, _p: world.act(name, run)

    return (
        Step("reserved", undo=do("undo reserved")),
        *(Step(name, do(name), undo=do(f"undo {name}")) for name in names),
    )


@dataclass
class Bench:
    db: Database
    engine: Engine
    world: World
    saga: Saga
    worker: Worker

    def submit(self, name: str = "one", *, guest: str | None = None, tenant: str = "t1") -> Operation:
        with self.db.begin() as tx:
            return self.engine.submit(
                tx, CTX, self.saga, Parameters(name, "sealed"), Submission(tenant, guest, "guests", tenant)
            )

    def ended(self, operation: Operation, *, within: float = 20) -> Operation:
        until = time.monotonic() + within
        while True:
            with self.db.read() as tx:
                found = operations.get(tx, EVERY_TENANT, operation.id)
            if found.state in FINAL_STATES or time.monotonic() > until:
                return found
            time.sleep(0.03)

    def run(self, **behaviour: list[Any]) -> Operation:
        self.world.behaviour = {name.replace("_", " "): list(todo) for name, todo in behaviour.items()}
        return self.ended(self.submit())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path: Path = tmp_path_factory.mktemp("engine") / "engine.db"
    db = Database(f"sqlite:///{path}")
    schema.upgrade(db)
    migrate(db)
    world = World()
    saga = Saga("test.saga", Parameters, steps_of(world, "first", "second", "third"), secrets=("password",))
    sagas = {saga.type: saga}
    worker = Worker(db, sagas, world, None, [Queue("guests", 8, 64)], [], Presence(path.parent))
    worker.start()
    _wait_for(lambda: _keeper(db))
    yield Bench(db, Engine(db, sagas), world, saga, worker)
    worker.stop()
    db.close()


@pytest.fixture
def bench(running: Bench) -> Bench:
    running.world.diary.clear()
    running.world.behaviour.clear()
    running.world.ends.clear()
    running.world.failures.clear()
    running.world.noted.clear()
    return running


def _keeper(db: Database) -> bool:
    with db.read() as tx:
        return tx.query(WorkerRow).count() == 1


def _wait_for(true: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.05)


__all__ = ["CTX", "Again", "AppError", "Bench", "Parameters", "PveUnreachable", "World"]
