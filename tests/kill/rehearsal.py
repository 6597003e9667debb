"""A worker that is told where to stop: `python -m tests.kill.rehearsal PLAN FOLDER`.

It is the real worker on the real registry; around each step stands what the plan says of an operation. One that is to
be caught stops there for good and leaves a file of its name in FOLDER, so that whoever reads that can kill -9 the
process while a whole wave of operations stands at its points.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from app import bootstrap
from app.config import Settings, configure_log
from app.db.vault import Vault
from app.domain.errors import PveRefused
from app.operations import Again, Run, Saga, Step, Trial
from app.operations.engine import UNDO_TRIES, TaskEnd
from app.operations.presence import Presence
from app.operations.saga import Function, Result
from app.operations.watcher import Tasks
from app.operations.worker import Queue, Worker
from app.pve import PveConnections
from app.pve.line import Limits
from app.sagas import REGISTRY
from app.sagas.credentials import Credentials
from app.sagas.tasks import PveTasks

_MANY = 400


@dataclass(frozen=True)
class Direction:
    """What is done to one operation.

    `what` is `catch` (stop at `point` and wait for the kill), `twice` (the step is called again at once, as after a
    crash), `stick` (the undo is refused until it sticks) or `watch` (nothing). `act` is do or undo, of the step `step`.
    `point` is `before` the function is called, `sent` (PVE has answered to its first write, and nothing of it is
    saved here; where it writes nothing, its result is not saved) or `saved` (its UPID is, and PVE's task may run).
    The step `refused` is refused without being called, or, where `late`, after it was.
    """

    what: str
    act: str = "do"
    step: str = ""
    point: str = ""
    refused: str | None = None
    late: bool = False


class Stage:
    """Where the operations of a plan are caught."""

    def __init__(self, plan: Mapping[str, Direction], folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._held: dict[str, str] = {}
        self._refused: Counter[str] = Counter()
        self._sending = threading.local()
        self._hook()

    def around(self, saga: Saga) -> Saga:
        return dataclasses.replace(saga, steps=tuple(self._around(step) for step in saga.steps))

    def _around(self, step: Step) -> Step:
        do = self._played("do", step.name, step.do) if step.do else None
        undo = self._played("undo", step.name, step.undo) if step.undo else None
        return Step(step.name, do, undo)

    def _played(self, act: str, step: str, function: Function) -> Function:
        def played(run: Run, parameters: Any) -> Result:
            direction = self._plan.get(run.operation)
            if direction is None:
                return function(run, parameters)
            if act == "do" and step == direction.refused:
                if direction.late:
                    function(run, parameters)
                raise PveRefused("Refused, as rehearsed.")
            if (act, step) != (direction.act, direction.step):
                return function(run, parameters)
            return self._directed(direction, function, run, parameters)

        return played

    def _directed(self, direction: Direction, function: Function, run: Run, parameters: Any) -> Result:
        if direction.what == "twice":
            function(run, parameters)
            return function(dataclasses.replace(run, again=True), parameters)
        if direction.what == "stick" and self._refused[run.operation] <= UNDO_TRIES:
            self._refused[run.operation] += 1
            raise PveRefused("Refused, as rehearsed.")
        if direction.what != "catch":
            return function(run, parameters)
        if direction.point == "before":
            self.catch(run.operation)
        if direction.point == "sent":
            self._sending.operation = run.operation
        result = function(run, parameters)
        if direction.point == "saved" and isinstance(result, str | Again | Trial):
            self._held[result if isinstance(result, str) else result.upid] = run.operation
            return result
        self.catch(run.operation)
        return None

    def catch(self, operation: str) -> None:
        """Stop here until the end of the process."""
        self.note(operation)
        threading.Event().wait()

    def note(self, operation: str) -> None:
        (self._folder / operation).touch()

    def held(self, upid: str) -> str | None:
        """The operation that is to be caught while it waits for this task."""
        return self._held.get(upid)

    def _hook(self) -> None:
        """Stop after the first write of a step that is to be caught when it is sent."""
        request = requests.Session.request

        def caught(session: requests.Session, method: str, *args: Any, **more: Any) -> requests.Response:
            response = request(session, method, *args, **more)
            operation = getattr(self._sending, "operation", None)
            if operation is not None and method != "GET":
                self.catch(operation)
            return response

        requests.Session.request = caught  # type: ignore[method-assign]


class HeldTasks:
    """PVE's tasks; those that the stage holds never end."""

    def __init__(self, tasks: Tasks, stage: Stage) -> None:
        self._tasks = tasks
        self._stage = stage

    def ended(self, upids: Mapping[str, str]) -> Mapping[str, TaskEnd]:
        free = {}
        for upid, operation in upids.items():
            held = self._stage.held(upid)
            if held is None:
                free[upid] = operation
            else:
                self._stage.note(held)
        return self._tasks.ended(free)


def main(plan: str, folder: str) -> None:
    settings = Settings.from_env(os.environ)
    configure_log(settings.log_level)
    house = bootstrap.build(settings)
    directions = {operation: Direction(**told) for operation, told in json.loads(Path(plan).read_text()).items()}
    stage = Stage(directions, Path(folder))
    # What is caught keeps its place in its queue and its connection: there is room for a whole wave of them.
    connections = PveConnections(pool_size=_MANY, limits=Limits(calls=_MANY))
    credentials = Credentials(house.db, Vault([settings.encryption_key]), connections, timeout=settings.pve_timeout)
    sagas = {name: stage.around(saga) for name, saga in REGISTRY.items()}
    queues = [Queue(queue.name, per_lane=_MANY, total=_MANY) for queue in bootstrap.QUEUES]
    presence = Presence(settings.state_dir / "workers")
    Worker(house.db, sagas, HeldTasks(PveTasks(house.db, credentials), stage), credentials, queues, [], presence).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
