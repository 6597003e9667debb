"""What a saga is: steps that are done in order, and undone in reverse when one of them is refused.

A step is named by what exists once it is done. Its `do` and its `undo` may run twice (after a crash, after a lost
answer); a `do` first looks whether it has happened already when `run.again` says so, an `undo` may find nothing.
Either may return

* a `Upid`: a task was started. It is stored before anyone waits; the watcher wakes the saga when the task has ended;
* `Again`: as a Upid, and the function is called once more afterwards (a loop over many tasks);
* of a do, `Trial`: as a Upid, but a task that failed is the function's to judge;
* of a do, `Later`: there is nothing to wait for but time;
* a mapping: the step's output, JSON values only, which later steps and their undos read in `run.outputs[name]`; of an
  undo, what it could not take back: members of the operation's error;
* None.

It raises `PveAway` for "try again later" and any other `AppError` for "refused".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.db.session import Database
from app.domain.identifiers import Upid


@dataclass(frozen=True)
class Again:
    """A task that is not the step's last one."""

    upid: Upid


@dataclass(frozen=True)
class Trial:
    """A task that may fail: the function is called once more then, and finds the problem as the last of `run.failures`.
    A lock that PVE did not give is no failure; it is tried again as ever."""

    upid: Upid


@dataclass(frozen=True)
class Later:
    """The function is called once more after `seconds`, in which nobody waits for it. `noted` (JSON values) stands in
    `run.outputs` under its own step's name then, also after a crash."""

    seconds: float
    noted: Mapping[str, Any]


Result = Upid | Again | Trial | Later | Mapping[str, Any] | None


@dataclass(frozen=True)
class Run:
    """What a step knows beside its parameters.

    `began` is when this step (or undo) was first begun, by our clock; `again` is true when it may have happened before;
    `judged` are the tasks of this step that have ended badly, so that they are not taken for a lost one; `failures`
    the problems with which its trials ended.
    `gateways` is what bootstrap gives to sagas: the ways out of the house.
    """

    operation: str
    began: datetime
    again: bool
    judged: frozenset[str]
    outputs: Mapping[str, Mapping[str, Any]]
    db: Database
    gateways: Any
    failures: tuple[Mapping[str, Any], ...] = ()


Function = Callable[[Any, Any], Result]


@dataclass(frozen=True)
class Call:
    """A change for which PVE is asked; `path` without `/api2/json`. `certain`: whatever state PVE is found in."""

    method: str
    path: str
    certain: bool


@dataclass(frozen=True)
class Step:
    """`do` None: done already, in the transaction that submitted the operation. `calls` tell from the parameters what
    `do` will ask PVE to change."""

    name: str
    do: Function | None = None
    undo: Function | None = None
    calls: tuple[Callable[[Any], Sequence[Call]], ...] = ()


@dataclass(frozen=True)
class Saga:
    """`type` is the operation's; `parameters` a frozen dataclass of JSON values; `result` makes its result.

    `point_of_no_return` names the first step that cannot be cancelled any more; `patience` is how long a cluster
    that is away is waited for before the saga gives up and unwinds; `secrets` are parameters (sealed while they are
    needed) that are forgotten when it ends.
    """

    type: str
    parameters: Callable[..., Any]
    steps: tuple[Step, ...]
    result: Callable[[Any, Any], Mapping[str, Any] | None] = field(default=lambda _run, _parameters: None)
    point_of_no_return: str | None = None
    secrets: tuple[str, ...] = ()
    patience: timedelta = timedelta(hours=1)
    version: int = 1

    def load(self, parameters: Mapping[str, Any]) -> Any:
        return self.parameters(**parameters)

    def calls(self, parameters: Any) -> Sequence[tuple[str, Call]]:
        """(step, call), in order."""
        return [(step.name, call) for step in self.steps for told in step.calls for call in told(parameters)]

    def may_cancel(self, position: int) -> bool:
        """Whether the saga may still be cancelled before the step at `position` (0 is the first) is begun."""
        names = [step.name for step in self.steps]
        return self.point_of_no_return is None or position <= names.index(self.point_of_no_return)


def stored(parameters: Any) -> dict[str, Any]:
    """A saga's parameters as JSON values."""
    return dataclasses.asdict(parameters)
