"""The one engine: submits operations and carries them out, on DBOS.

Web processes only submit: the queue entry is written on the very connection of the use case's transaction. A worker
runs one DBOS workflow per operation; each try of a do or an undo is a DBOS step, so that after kill -9 whoever takes
over goes on with the step in flight and nothing before it. What the workflow decides by comes out of steps only.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypedDict

import structlog
from dbos import DBOS, DBOSClient, EnqueueOptions, StepOptions

from app.db import operations
from app.db.models import Operation, OperationStep
from app.db.session import Database, Tx, now
from app.domain import operations as domain
from app.domain.access import EVERY_TENANT, Context
from app.domain.errors import AppError, Conflict, NotFound, PveAway, Unavailable
from app.domain.identifiers import Upid
from app.domain.operations import OperationState, StepState
from app.operations.saga import Again, Function, Result, Run, Saga, stored

WORKFLOW = "operation"
#: Recovery takes only workflows of the running version: pinned, or an upgrade would leave the old ones behind.
APPLICATION_VERSION = "1"
APPLICATION_NAME = "poolhouse"
#: Undoing is more patient than doing: what is left behind is worse than what is late.
UNDO_PATIENCE = timedelta(hours=24)

_PERSISTENT: StepOptions = {"retries_allowed": True, "max_attempts": 50, "interval_seconds": 0.5}
_LONGEST_PAUSE = 30.0
_LOOK_AGAIN = 60.0

log = structlog.get_logger(__name__)


class TaskEnd(TypedDict):
    """How a PVE task ended. `again`: the reason was a lock or an absence, and another try may do."""

    ok: bool
    again: bool
    problem: dict[str, Any] | None


class Tasks(Protocol):
    """What the engine needs to know of PVE's tasks."""

    def ended(self, upids: Mapping[str, str]) -> Mapping[str, TaskEnd]:
        """Of the given tasks (UPID -> operation) those that have ended, and how; not those of clusters away."""


class Outcome(TypedDict, total=False):
    """What one try came to: `kind` is done, failed, task (wait for `upid`) or away (try again)."""

    kind: str
    upid: str


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
            id=identity, workflow=identity, type=saga.type, version=saga.version, state=OperationState.PENDING,
            tenant_id=to.tenant, guest_id=to.guest, queue=to.queue, lane=to.lane, parameters=stored(parameters),
            created_by=ctx.caller.username, created_at=now(), deadline=now() + saga.patience,
        )  # fmt: skip
        operations.add(tx, row, [step.name for step in saga.steps], done)
        self._enqueue(tx, row)
        return operations.get(tx, EVERY_TENANT, row.id)

    def resume_unwinding(self, tx: Tx, operation: str) -> domain.Operation:
        """Let a stuck operation go on with its undoing, in the caller's transaction. Raises NotFound, Conflict."""
        row = tx.scalar(operations.locked(operation))
        if row is None:
            raise NotFound
        if row.state != OperationState.STUCK:
            raise Conflict("Only a stuck operation can be resolved.", code="operation.not_stuck")
        row.state, row.finished_at, row.workflow = OperationState.UNWINDING, None, f"{row.id}/{uuid.uuid4()}"
        row.deadline = now() + self._sagas[row.type].patience
        position = next(
            (s.position for s in reversed(operations.steps(tx, operation)) if s.undo_began_at is not None), 0
        )
        self._enqueue(tx, row, position)
        return operations.get(tx, EVERY_TENANT, operation)

    def _enqueue(self, tx: Tx, row: Operation, *unwind_from: int) -> None:
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": row.queue,
            "workflow_id": row.workflow,
            "app_version": APPLICATION_VERSION,
            "queue_partition_key": row.lane,
        }
        self._client.enqueue_in_transaction(tx.connection(), options, row.id, row.type, *unwind_from)


class Execution:
    """The worker's side: carries operations out as `executor`; `leave` ends a process that has lost its lease."""

    def __init__(
        self,
        db: Database,
        sagas: Mapping[str, Saga],
        tasks: Tasks,
        gateways: Any,
        executor: str,
        leave: Callable[[], None],
    ) -> None:
        self._db = db
        self._leave = leave
        self._sagas = sagas
        self._tasks = tasks
        self._gateways = gateways
        self._executor = executor
        DBOS.workflow(name=WORKFLOW)(self._workflow_function())

    def _workflow_function(self) -> Callable[[str, str], Any]:
        async def operation(operation_id: str, saga_type: str, unwind_from: int | None = None) -> None:
            saga = self._sagas[saga_type]
            reached = await self._do_all(operation_id, saga) if unwind_from is None else unwind_from
            if reached is None:
                await DBOS.run_step_async(_PERSISTENT, self._finish, operation_id, saga_type)
            elif await self._undo_all(operation_id, saga, reached):
                await DBOS.run_step_async(_PERSISTENT, self._finish_unwound, operation_id)

        return operation

    async def _do_all(self, operation: str, saga: Saga) -> int | None:
        """None: all done. Else the position of the step that was refused."""
        for position, step in enumerate(saga.steps):
            if step.do is not None and not await self._until_settled(operation, saga, position, undo=False):
                return position
        return None

    async def _undo_all(self, operation: str, saga: Saga, reached: int) -> bool:
        """False: an undo was refused, and the operation is stuck."""
        for position in range(reached, -1, -1):
            step = saga.steps[position]
            if step.undo is not None and not await self._until_settled(operation, saga, position, undo=True):
                return False
        return True

    async def _until_settled(self, operation: str, saga: Saga, position: int, *, undo: bool) -> bool:
        """Try the step until it is done (True) or refused (False)."""
        name = f"{'undo ' if undo else ''}{saga.steps[position].name}"
        end: TaskEnd | None = None
        pause = 0.5
        while True:
            outcome: Outcome = await DBOS.run_step_async(
                {"name": name}, self._try, operation, saga.type, position, undo, end
            )
            end = None
            kind = outcome["kind"]
            if kind == "task":
                end = await DBOS.recv_async(outcome["upid"], timeout_seconds=_LOOK_AGAIN)
            elif kind == "away":
                await DBOS.sleep_async(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return kind == "done"

    # -- one try, in one DBOS step: begin, act, record

    def _try(self, operation: str, saga_type: str, position: int, undo: bool, end: TaskEnd | None) -> Outcome:
        saga = self._sagas[saga_type]
        step = saga.steps[position]
        function = step.undo if undo else step.do
        assert function is not None
        attempt = _Attempt(self._db, operation, position, undo, self._executor)
        with structlog.contextvars.bound_contextvars(operation=operation, step=step.name, undo=undo):
            try:
                run = attempt.begin(saga, self._gateways)
                return run if isinstance(run, dict) else self._go_on(attempt, function, run, saga, end)
            except operations.Fenced:
                log.critical("worker.fenced")
                self._leave()
                raise
            except Unavailable:
                return {"kind": "away"}

    def _go_on(self, attempt: _Attempt, function: Function, run: Run, saga: Saga, end: TaskEnd | None) -> Outcome:
        upid = attempt.upid
        if upid is not None and end is None:
            end = self._tasks.ended({upid: run.operation}).get(upid)
            if end is None:
                return attempt.wait_for(Upid(upid), last=attempt.last)
        if end is not None and not end["ok"]:
            return attempt.task_failed(end)
        if end is not None and attempt.last:
            return attempt.done(None)
        return self._call(attempt, function, run, saga)

    def _call(self, attempt: _Attempt, function: Function, run: Run, saga: Saga) -> Outcome:
        try:
            result: Result = function(run, saga.load(attempt.parameters))
        except (PveAway, Unavailable) as error:
            return attempt.away(error)
        except AppError as error:
            return attempt.refused(_problem(error), error.log)
        except operations.Fenced:
            raise
        except Exception:  # the worker's edge: a fault of ours unwinds like any refusal, and is never lost
            log.exception("step.broken")
            return attempt.refused(_BROKEN, None)
        if isinstance(result, Again):
            return attempt.wait_for(result.upid, last=False)
        if isinstance(result, Upid):
            return attempt.wait_for(result, last=True)
        return attempt.done(result)

    def _finish(self, operation: str, saga_type: str) -> None:
        saga = self._sagas[saga_type]
        with self._db.begin() as tx:
            row = operations.held(tx, operation, self._executor)
            if row.state in domain.FINAL_STATES:
                return
            outputs = _outputs(operations.steps(tx, operation))
            run = Run(operation, now(), False, frozenset(), outputs, self._db, self._gateways)
            result = saga.result(run, saga.load(row.parameters))
            operations.finish(row, OperationState.SUCCEEDED, result=result, forget=saga.secrets)
        log.info("operation.succeeded", operation=operation, type=saga.type)

    def _finish_unwound(self, operation: str) -> None:
        with self._db.begin() as tx:
            row = operations.held(tx, operation, self._executor)
            if row.state in domain.FINAL_STATES:
                return
            cancelled = row.error is not None and row.error.get("code") == "operation.cancelled"
            state = OperationState.CANCELLED if cancelled else OperationState.FAILED
            operations.finish(row, state, forget=self._sagas[row.type].secrets)
        log.warning("operation.unwound", operation=operation, type=row.type, error=row.error)


class _Attempt:
    """One try of a do or an undo, and how it is written down. Every write is fenced."""

    def __init__(self, db: Database, operation: str, position: int, undo: bool, executor: str) -> None:
        self._db = db
        self._operation = operation
        self._position = position
        self._undo = undo
        self._executor = executor
        self.upid: str | None = None
        self.last = True
        self.parameters: Mapping[str, Any] = {}

    def begin(self, saga: Saga, gateways: Any) -> Run | Outcome:
        with self._db.begin() as tx:
            row, step = self._held(tx)
            if not self._undo and row.cancel_requested and saga.may_cancel(self._position) and step.began_at is None:
                row.state, row.error = OperationState.UNWINDING, _CANCELLED
                return {"kind": "failed"}
            began = step.undo_began_at if self._undo else step.began_at
            if began is None:
                began = now()
                if self._undo:
                    step.undo_began_at = began
                else:
                    step.began_at, step.state = began, StepState.RUNNING
                again = False
            else:
                again = True
            row.started_at = row.started_at or began
            row.state = OperationState.UNWINDING if self._undo else OperationState.RUNNING
            self.parameters = row.parameters
            stored_upid = step.undo_upid if self._undo else step.upid
            self.upid = stored_upid
            self.last = not self._undo and not (step.output or {}).get("again", False)
            outputs = _outputs(operations.steps(tx, self._operation))
            return Run(self._operation, began, again, frozenset(step.judged), outputs, self._db, gateways)

    def wait_for(self, upid: Upid, *, last: bool) -> Outcome:
        with self._db.begin() as tx:
            _, step = self._held(tx)
            self._note_upid(step, upid)
            step.watched = True
            if not self._undo:
                step.output = None if last else {"again": True}
        return {"kind": "task", "upid": upid}

    def task_failed(self, end: TaskEnd) -> Outcome:
        problem = end["problem"] or _BROKEN
        if not end["again"]:
            return self.refused(problem, None)
        with self._db.begin() as tx:
            row, step = self._held(tx)
            step.judged = [*step.judged, *([self.upid] if self.upid else [])]
            self._note_upid(step, None)
            patient = not self._too_late(row)
        return {"kind": "away"} if patient else self.refused(problem, None)

    def away(self, error: AppError) -> Outcome:
        with self._db.begin() as tx:
            row, _ = self._held(tx)
            patient = not self._too_late(row)
        if not patient:
            return self.refused(_problem(error), error.log)
        log.info("step.waits", code=error.code, upstream=error.log)
        return {"kind": "away"}

    def refused(self, problem: Mapping[str, Any], reason: str | None) -> Outcome:
        log.warning("step.refused", code=problem["code"], reason=reason)
        with self._db.begin() as tx:
            row, step = self._held(tx)
            step.watched = False
            if self._undo:
                row.error = {**(row.error or problem), "undo": problem}
                operations.finish(row, OperationState.STUCK)
            else:
                step.state = StepState.FAILED
                row.state, row.error = OperationState.UNWINDING, dict(problem)
        return {"kind": "failed"}

    def done(self, output: Mapping[str, Any] | None) -> Outcome:
        with self._db.begin() as tx:
            _, step = self._held(tx)
            step.watched = False
            step.state = StepState.UNDONE if self._undo else StepState.DONE
            if not self._undo:
                step.output = dict(output) if output is not None else None
        return {"kind": "done"}

    def _held(self, tx: Tx) -> tuple[Operation, OperationStep]:
        row = operations.held(tx, self._operation, self._executor)
        return row, operations.step(tx, self._operation, self._position)

    def _note_upid(self, step: OperationStep, upid: str | None) -> None:
        if self._undo:
            step.undo_upid = upid
        else:
            step.upid = upid

    def _too_late(self, row: Operation) -> bool:
        patience = UNDO_PATIENCE if self._undo else timedelta()
        return now() > row.deadline + patience


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
