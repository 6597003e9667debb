"""The one engine: submits operations and carries them out, on DBOS.

Web processes only submit: the queue entry is written on the very connection of the use case's transaction. A worker
runs one DBOS workflow per operation; where an operation stands, and what it waits for, is in our own tables, written
before and after each step, so that after kill -9 whoever takes over goes on with the step in flight.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any, TypedDict, cast

import structlog
from dbos import DBOS, DBOSClient, EnqueueOptions

from app.db import operations
from app.db.models import Operation, OperationStep
from app.db.session import Database, Tx, now, rehearsal_of
from app.domain import operations as domain
from app.domain.access import EVERY_TENANT, Context
from app.domain.errors import AppError, Conflict, NotFound, PveAway, Unavailable
from app.domain.identifiers import Upid
from app.domain.operations import OperationState, StepState
from app.operations.saga import Again, Function, Later, Result, Run, Saga, Trial, stored
from app.operations.sleepers import Sleepers

WORKFLOW = "operation"
#: Recovery takes only workflows of the running version: pinned, or an upgrade would leave the old ones behind.
APPLICATION_VERSION = "1"
APPLICATION_NAME = "poolhouse"
#: Undoing is more patient than doing: what is left behind is worse than what is late.
UNDO_PATIENCE = timedelta(hours=24)
#: How often an undo is tried again after a refusal or a failed task, before somebody has to look: each try finds the
#: world anew, and much that PVE refuses with a bare 500 passes.
UNDO_TRIES = 3

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
#: Calls to PVE that this worker may have under way at once.
_ROUNDS = 48

#: Members of the output of a step that is not done yet: what it waits for is not its last task, or is a trial.
_AGAIN, _FAILURES = "again", "failures"

log = structlog.get_logger(__name__)


class TaskEnd(TypedDict):
    """How a PVE task ended. `again`: the reason was a lock or an absence, and another try may do."""

    ok: bool
    again: bool
    problem: dict[str, Any] | None


class Outcome(Enum):
    """Where a round stopped: with the operation's end, at a task to wait for, or at something to try again later."""

    ENDED = auto()
    TASK = auto()
    AWAY = auto()


@dataclass(frozen=True)
class Submission:
    """`queue` is where it waits, `lane` who waits there: lanes of one queue are served in turn."""

    tenant: str | None
    guest: str | None
    queue: str
    lane: str


class Engine:
    """Submits, and (in a worker) carries out. `sagas` is the registry by operation type."""

    def __init__(self, db: Database, sagas: Mapping[str, Saga]) -> None:
        self._db = db
        self._sagas = sagas
        self._client = DBOSClient(system_database_engine=db.engine, application_name=APPLICATION_NAME, lazy=True)

    def submit(self, tx: Tx, ctx: Context, saga: Saga, parameters: Any, to: Submission) -> domain.Operation:
        """Record an operation and queue it, in the caller's transaction. Raises Busy where its guest has one open."""
        done = next((position for position, step in enumerate(saga.steps) if step.do is not None), len(saga.steps))
        identity = str(uuid.uuid4())
        row = Operation(
            id=identity, workflow=_workflow_of(identity), type=saga.type, version=saga.version,
            state=OperationState.PENDING, tenant_id=to.tenant, guest_id=to.guest, queue=to.queue, lane=to.lane,
            parameters=stored(parameters), created_by=ctx.caller.username, created_at=now(),
            deadline=now() + saga.patience,
        )  # fmt: skip
        added = operations.add(tx, row, [step.name for step in saga.steps], done)
        self._enqueue(tx, row)
        if (rehearsal := rehearsal_of(tx)) is not None:
            rehearsal.operations.append(identity)
        return added

    def resume_unwinding(self, tx: Tx, operation: str) -> domain.Operation:
        """Let a stuck operation go on with its undoing, in the caller's transaction. Raises NotFound, Conflict."""
        row = tx.scalar(operations.locked(operation))
        if row is None:
            raise NotFound
        if row.state != OperationState.STUCK:
            raise Conflict("Only a stuck operation can be resolved.", code="operation.not_stuck")
        row.state, row.finished_at, row.workflow = OperationState.UNWINDING, None, _workflow_of(row.id)
        row.executor = None
        row.deadline = now() + self._sagas[row.type].patience
        self._enqueue(tx, row)
        return operations.get(tx, EVERY_TENANT, operation)

    def _enqueue(self, tx: Tx, row: Operation) -> None:
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": row.queue,
            "workflow_id": row.workflow,
            "app_version": APPLICATION_VERSION,
            "queue_partition_key": row.lane,
        }
        self._client.enqueue_in_transaction(tx.connection(), options, row.id)


def _workflow_of(operation: str) -> str:
    """The id of a new run of it. Ids ascend: DBOS takes what was queued in the same second in the order of ids, because
    on SQLite its clock has whole seconds (before Python 3.12)."""
    return f"{time.time_ns():020}/{operation}"


class Execution:
    """The worker's side: carries operations out as `executor`; `leave` ends a process that has lost its lease.

    One DBOS workflow per operation, in rounds: a round takes up the operation where our own tables say that it stands,
    and goes from step to step until something has to be waited for. Killed at any point, the workflow is begun anew by
    whoever takes over, and its first round finds where it was.
    """

    def __init__(
        self,
        db: Database,
        sagas: Mapping[str, Saga],
        sleepers: Sleepers,
        gateways: Any,
        executor: str,
        leave: Callable[[], None],
    ) -> None:
        self._db = db
        self._leave = leave
        self._sagas = sagas
        self._sleepers = sleepers
        self._gateways = gateways
        self._executor = executor
        self._rounds = ThreadPoolExecutor(_ROUNDS, thread_name_prefix="round")
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(self._workflow_function())

    def _workflow_function(self) -> Callable[[str], Any]:
        async def operation(operation_id: str) -> None:
            loop = asyncio.get_running_loop()
            pause = _SHORTEST_PAUSE
            while (outcome := await loop.run_in_executor(self._rounds, self._round, operation_id)) is not Outcome.ENDED:
                if outcome is Outcome.AWAY:
                    # those that found each other's lock would else come back at the same moment, every time
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    continue
                pause = _SHORTEST_PAUSE
                if isinstance(outcome, Later):
                    await asyncio.sleep(outcome.seconds)
                else:
                    await self._sleepers.sleep(operation_id)

        return operation

    def _round(self, operation: str) -> Outcome | Later:
        """From step to step until a task or a cluster has to be waited for, or the operation has ended."""
        settled: _Settled | None = None
        while True:
            try:
                attempt = self._next(operation, settled)
                if attempt is None:
                    return Outcome.ENDED
                with structlog.contextvars.bound_contextvars(
                    operation=operation, step=attempt.step.name, undo=attempt.undo
                ):
                    found = self._go_on(attempt)
            except operations.Fenced:
                log.critical("worker.fenced", operation=operation)
                self._leave()
                raise
            except Unavailable:
                return Outcome.AWAY
            except Exception:  # the worker's edge: with a fault of ours nothing is lost, and it is tried again
                log.exception("round.broken", operation=operation)
                return Outcome.AWAY
            if not isinstance(found, _Settled):
                return found
            settled = found

    # -- what is next

    def _next(self, operation: str, settled: _Settled | None) -> _Attempt | None:
        """Write down what the last step came to, and begin the next one; None once the operation has ended."""
        with self._db.begin() as tx:
            row = operations.held(tx, operation, self._executor)
            steps = operations.steps(tx, operation)
            settled = settled or _done_with_its_task(row, steps)
            if settled is not None:
                settled.write(row, steps[settled.position])
            saga = self._sagas[row.type]
            if row.state in (OperationState.PENDING, OperationState.RUNNING):
                position = next((step.position for step in steps if step.state != StepState.DONE), None)
                if position is None:
                    self._succeed(row, saga, steps)
                    return None
                if not (row.cancel_requested and steps[position].began_at is None and saga.may_cancel(position)):
                    return self._begin(row, saga, steps, position, undo=False)
                row.error = dict(_CANCELLED)
                row.state = OperationState.UNWINDING
            if row.state == OperationState.UNWINDING:
                position = _next_to_undo(saga, steps)
                if position is not None:
                    return self._begin(row, saga, steps, position, undo=True)
                self._give_up(row, saga)
            return None

    def _begin(
        self, row: Operation, saga: Saga, steps: Sequence[OperationStep], position: int, *, undo: bool
    ) -> _Attempt:
        step = steps[position]
        began = step.undo_began_at if undo else step.began_at
        again = began is not None
        began = began or now()
        if undo:
            step.undo_began_at = began
        else:
            step.began_at, step.state, row.state = began, StepState.RUNNING, OperationState.RUNNING
        row.started_at = row.started_at or began
        run = Run(
            row.id, began, again, frozenset(step.judged), _outputs(steps), self._db, self._gateways,
            failures=tuple((step.output or {}).get(_FAILURES, ())),
        )  # fmt: skip
        function = saga.steps[position].undo if undo else saga.steps[position].do
        assert function is not None
        return _Attempt(self._db, self._executor, row, step, undo, function, run, saga.load(row.parameters))

    def _succeed(self, row: Operation, saga: Saga, steps: Sequence[OperationStep]) -> None:
        run = Run(row.id, now(), False, frozenset(), _outputs(steps), self._db, self._gateways)
        result = saga.result(run, saga.load(row.parameters))
        operations.finish(row, OperationState.SUCCEEDED, result=result, forget=saga.secrets)
        log.info("operation.succeeded", operation=row.id, type=row.type)

    def _give_up(self, row: Operation, saga: Saga) -> None:
        cancelled = row.error is not None and row.error.get("code") == _CANCELLED["code"]
        state = OperationState.CANCELLED if cancelled else OperationState.FAILED
        operations.finish(row, state, forget=saga.secrets)
        log.warning("operation.unwound", operation=row.id, type=row.type, error=row.error)

    # -- one step

    def _go_on(self, attempt: _Attempt) -> Outcome | Later | _Settled:
        end = attempt.end
        if attempt.upid is not None and end is None:
            return Outcome.TASK
        if end is not None and not end["ok"]:
            return attempt.task_failed(end)
        return self._call(attempt)

    def _call(self, attempt: _Attempt) -> Outcome | Later | _Settled:
        try:
            result: Result = attempt.function(attempt.run, attempt.parameters)
        except (PveAway, Unavailable) as error:
            return attempt.away(error)
        except AppError as error:
            return attempt.refused(_problem(error), error.log)
        except operations.Fenced:
            raise
        except Exception:  # the worker's edge: a fault of ours unwinds like any refusal, and is never lost
            log.exception("step.broken")
            return attempt.refused(_BROKEN, None)
        if isinstance(result, Later):
            return attempt.put_off(result)
        if isinstance(result, Again):
            return attempt.wait_for(result.upid, {_AGAIN: True})
        if isinstance(result, Trial):
            return attempt.wait_for(result.upid, {_FAILURES: [*attempt.run.failures]})
        if isinstance(result, Upid):
            return attempt.wait_for(result, None)
        return attempt.done(result)


@dataclass(frozen=True)
class _Settled:
    """What a step came to. `problem` None: it is done, or undone; it is written down with the next step's beginning."""

    position: int
    undo: bool
    output: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None

    def write(self, row: Operation, step: OperationStep) -> None:
        step.watched, step.ended = False, None
        if self.problem is None:
            step.state = StepState.UNDONE if self.undo else StepState.DONE
            if not self.undo:
                step.output = dict(self.output) if self.output is not None else None
            elif self.output is not None:
                row.error = {**(row.error or {}), **self.output}
        elif self.undo:
            row.error = {**(row.error or self.problem), "undo": dict(self.problem)}
            step.undo_upid, step.tries = None, 0
            operations.finish(row, OperationState.STUCK)
        else:
            step.state = StepState.FAILED
            row.state, row.error = OperationState.UNWINDING, dict(self.problem)


class _Attempt:
    """One try of a do or an undo. Every write is fenced."""

    def __init__(
        self,
        db: Database,
        executor: str,
        row: Operation,
        step: OperationStep,
        undo: bool,
        function: Function,
        run: Run,
        parameters: Any,
    ) -> None:
        self._db = db
        self._executor = executor
        self.step = step
        self.undo = undo
        self.function = function
        self.run = run
        self.parameters = parameters
        self.upid = step.undo_upid if undo else step.upid
        self.end = cast("TaskEnd | None", step.ended)
        self._is_trial = not undo and _FAILURES in (step.output or {})
        self._deadline = row.deadline + (UNDO_PATIENCE if undo else timedelta())

    def done(self, output: Mapping[str, Any] | None) -> _Settled:
        return _Settled(self.step.position, self.undo, output=output)

    def refused(self, problem: Mapping[str, Any], reason: str | None) -> Outcome | _Settled:
        log.warning("step.refused", code=problem["code"], reason=reason)
        if self.undo and self.step.tries < UNDO_TRIES:
            return self._try_again(tries=self.step.tries + 1)
        return _Settled(self.step.position, self.undo, problem=problem)

    def wait_for(self, upid: Upid, noted: Mapping[str, Any] | None) -> Outcome:
        with self._db.begin() as tx:
            step = self._held(tx)
            self._note_upid(step, upid)
            step.watched, step.ended = True, None
            if not self.undo:
                step.output = dict(noted) if noted is not None else None
        return Outcome.TASK

    def put_off(self, later: Later) -> Later:
        with self._db.begin() as tx:
            self._held(tx).output = dict(later.noted)
        return later

    def task_failed(self, end: TaskEnd) -> Outcome | _Settled:
        if end["again"] and now() <= self._deadline:
            return self._try_again(tries=self.step.tries)
        if self._is_trial and not end["again"]:
            return self._try_again(tries=self.step.tries, failure=end["problem"] or _BROKEN)
        return self.refused(end["problem"] or _BROKEN, None)

    def away(self, error: AppError) -> Outcome | _Settled:
        if now() > self._deadline:
            return self.refused(_problem(error), error.log)
        log.info("step.waits", code=error.code, upstream=error.log)
        return Outcome.AWAY

    def _try_again(self, *, tries: int, failure: Mapping[str, Any] | None = None) -> Outcome:
        with self._db.begin() as tx:
            step = self._held(tx)
            step.judged = [*step.judged, *([self.upid] if self.upid else [])]
            self._note_upid(step, None)
            step.ended, step.tries = None, tries
            if failure is not None:
                step.output = {_FAILURES: [*self.run.failures, dict(failure)]}
        return Outcome.AWAY

    def _held(self, tx: Tx) -> OperationStep:
        operations.held(tx, self.run.operation, self._executor)
        return operations.step(tx, self.run.operation, self.step.position)

    def _note_upid(self, step: OperationStep, upid: str | None) -> None:
        if self.undo:
            step.undo_upid = upid
        else:
            step.upid = upid


def _done_with_its_task(row: Operation, steps: Sequence[OperationStep]) -> _Settled | None:
    """The step that waited for a task which has ended well, unless it is to be called again: as an undo is after each
    of its tasks, until it finds nothing."""
    if row.state != OperationState.RUNNING:
        return None
    step = next((step for step in steps if step.state == StepState.RUNNING), None)
    if step is None or step.ended is None or not step.ended["ok"] or _AGAIN in (step.output or {}):
        return None
    return _Settled(step.position, undo=False)


def _next_to_undo(saga: Saga, steps: Sequence[OperationStep]) -> int | None:
    """The last step that was begun, leaves a trace and is not undone yet: the failing one is the first to be undone."""
    for step in reversed(steps):
        begun = step.state not in (StepState.PENDING, StepState.UNDONE)
        if begun and saga.steps[step.position].undo is not None:
            return step.position
    return None


_BROKEN: Mapping[str, Any] = {
    "code": "internal", "title": "Internal error", "detail": "This step met a fault of ours; it is in our log.",
}  # fmt: skip
_CANCELLED: dict[str, Any] = {
    "code": "operation.cancelled", "title": "Cancelled", "detail": "The operation was cancelled.",
}  # fmt: skip


def _outputs(steps: Any) -> dict[str, Mapping[str, Any]]:
    return {step.name: step.output for step in steps if step.output is not None}


def _problem(error: AppError) -> dict[str, Any]:
    problem = {"code": error.code, "title": error.title, "detail": error.detail, **error.members}
    if error.remedy:
        problem["remedy"] = error.remedy
    return problem
