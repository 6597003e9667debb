"""Operations and their steps: submit, read, move on, finish. Writes of a worker are fenced by `executor`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.db import paging
from app.db.models import Operation, OperationStep, Worker
from app.db.session import Tx, now
from app.domain import operations as domain
from app.domain.access import TenantScope
from app.domain.errors import Busy, Conflict, NotFound
from app.domain.operations import FINAL_STATES, OPEN_STATES, OperationFilter, OperationState, StepState
from app.domain.paging import Page, PageRequest

COLUMNS = {"created_at": Operation.created_at, "type": Operation.type, "state": Operation.state}


class Fenced(Exception):
    """This worker was declared dead, or the operation was given to another: it may not write."""


def add(tx: Tx, operation: Operation, steps: Sequence[str], done: int) -> domain.Operation:
    """Store a new operation; its first `done` steps are done with it. Raises Busy where its guest has an open one."""
    if operation.guest_id is not None:
        open_one = open_on(tx, operation.guest_id)
        if open_one is not None:
            raise Busy(open_one)
    ahead = tx.scalar(
        sa.select(sa.func.count()).where(Operation.queue == operation.queue, Operation.state == OperationState.PENDING)
    )
    tx.add(operation)
    tx.flush()
    taken = [
        {
            "operation_id": operation.id,
            "position": position,
            "name": name,
            "state": StepState.DONE if position < done else StepState.PENDING,
            "watched": False,
            "judged": [],
            "tries": 0,
        }
        for position, name in enumerate(steps)
    ]
    tx.execute(sa.insert(OperationStep), taken)
    return _view(operation, [OperationStep(**step) for step in taken], (ahead or 0) + 1)


def open_on(tx: Tx, guest: str, types: Sequence[str] = ()) -> str | None:
    """The id of the operation that is open on a guest, if it is of one of these types."""
    found = sa.select(Operation.id).where(Operation.guest_id == guest, Operation.state.in_(OPEN_STATES))
    return tx.scalar(found.where(Operation.type.in_(types)) if types else found)


def last_success(tx: Tx, guest: str, types: Sequence[str]) -> tuple[datetime, Mapping[str, Any]] | None:
    """When the last operation of these types that succeeded on a guest ended, and its parameters."""
    row = tx.scalars(
        sa.select(Operation)
        .where(Operation.guest_id == guest, Operation.type.in_(types), Operation.state == OperationState.SUCCEEDED)
        .order_by(Operation.finished_at.desc())
        .limit(1)
    ).first()
    return (row.finished_at, row.parameters) if row is not None and row.finished_at is not None else None


def successes_since(tx: Tx, tenant: str, since: datetime, *, by: str, types: Sequence[str]) -> Sequence[datetime]:
    """When a user's operations of these types on a tenant's guests succeeded since then, oldest first."""
    ended = sa.and_(Operation.state == OperationState.SUCCEEDED, Operation.finished_at > since)
    mine = sa.and_(Operation.tenant_id == tenant, Operation.created_by == by, Operation.type.in_(types))
    found = sa.select(Operation.finished_at).where(mine, ended).order_by(Operation.finished_at)
    return [moment for moment in tx.scalars(found) if moment is not None]


def guests_with_open(tx: Tx) -> set[str]:
    """The guests on which an operation is open."""
    return set(
        tx.scalars(
            sa.select(Operation.guest_id).where(Operation.guest_id.is_not(None), Operation.state.in_(OPEN_STATES))
        )
    )


def open_in(tx: Tx, tenant: str, types: Sequence[str] = ()) -> bool:
    """Whether any operation of a tenant is open, or any of these types."""
    statement = sa.select(Operation.id).where(Operation.tenant_id == tenant, Operation.state.in_(OPEN_STATES))
    if types:
        statement = statement.where(Operation.type.in_(types))
    return tx.scalar(statement.limit(1)) is not None


def get(tx: Tx, scope: TenantScope, operation: str) -> domain.Operation:
    """Raises NotFound where the operation is not there, or belongs to a tenant outside the scope."""
    row = tx.get(Operation, operation)
    if row is None or not scope.contains(row.tenant_id):
        raise NotFound
    return _views(tx, [row])[0]


def those(tx: Tx, scope: TenantScope, ids: Sequence[str]) -> Sequence[domain.Operation]:
    """Those of these that belong to tenants of the scope, in this order."""
    found = {row.id: row for row in tx.scalars(sa.select(Operation).where(Operation.id.in_(ids)))}
    rows = [found[operation] for operation in ids if operation in found]
    return _views(tx, [row for row in rows if scope.contains(row.tenant_id)])


def page(tx: Tx, scope: TenantScope, wanted: OperationFilter, request: PageRequest) -> Page[domain.Operation]:
    statement = sa.select(Operation)
    if scope.tenants is not None:
        statement = statement.where(Operation.tenant_id.in_(scope.tenants))
    for column, value in (
        (Operation.state, wanted.state),
        (Operation.guest_id, wanted.guest),
        (Operation.tenant_id, wanted.tenant),
        (Operation.type, wanted.type),
    ):
        if value is not None:
            statement = statement.where(column == value)
    rows = paging.page(tx, statement, columns=COLUMNS, key=Operation.id, default_sort="-created_at", request=request)
    return Page(_views(tx, rows.data), rows.count, rows.next)


def row(tx: Tx, operation: str) -> Operation:
    """By its id, for the engine, which has it from the queue: whose it is was decided when it was submitted."""
    return tx.get_one(Operation, operation)


def any_open(tx: Tx, ids: Sequence[str]) -> bool:
    """Whether one of these has not ended."""
    still = sa.exists().where(Operation.id.in_(ids), Operation.state.not_in(FINAL_STATES))
    return tx.scalar(sa.select(still)) is True


def locked(operation: str) -> sa.Select[Operation]:
    return sa.select(Operation).where(Operation.id == operation).with_for_update()


#: Built once: every step asks it twice.
_HELD = (
    sa.select(Operation, sa.exists().where(Worker.id == sa.bindparam("executor"), Worker.fenced.is_(False)))
    .where(Operation.id == sa.bindparam("operation"))
    .with_for_update()
)
_STEPS = (
    sa.select(OperationStep)
    .where(OperationStep.operation_id == sa.bindparam("operation"))
    .order_by(OperationStep.position)
)


def held(tx: Tx, operation: str, executor: str) -> Operation:
    """The operation, locked, for the worker that may write to it. Raises Fenced for any other one."""
    found = tx.execute(_HELD, {"operation": operation, "executor": executor}).one_or_none()
    if found is None:
        raise Fenced(operation)
    row: Operation = found[0]
    if not found[1] or (row.state in OPEN_STATES and row.executor not in (None, executor)):
        raise Fenced(operation)
    row.executor = executor
    return row


def step(tx: Tx, operation: str, position: int) -> OperationStep:
    return tx.get_one(OperationStep, (operation, position))


def steps(tx: Tx, operation: str) -> Sequence[OperationStep]:
    return tx.scalars(_STEPS, {"operation": operation}).all()


def clusters_of(tx: Tx, wanted: Iterable[str], *, default: str) -> dict[str, str]:
    """operation -> cluster, as its parameters say."""
    cluster = Operation.parameters["cluster"].as_string()
    rows = tx.execute(sa.select(Operation.id, cluster).where(Operation.id.in_(set(wanted)))).all()
    return {operation: found or default for operation, found in rows}


def watched(tx: Tx) -> Mapping[str, str]:
    """upid -> operation, of every task that somebody waits for."""
    rows = tx.execute(
        sa.select(OperationStep.operation_id, OperationStep.upid, OperationStep.undo_upid).where(OperationStep.watched)
    ).all()
    return {task: operation for operation, upid, undo in rows if (task := undo or upid) is not None}


def note_ends(tx: Tx, ends: Mapping[str, Mapping[str, Any]]) -> None:
    """upid -> how that task ended, for those that somebody still waits for."""
    of_task = sa.or_(OperationStep.upid == sa.bindparam("task"), OperationStep.undo_upid == sa.bindparam("task"))
    tx.connection().execute(
        sa.update(OperationStep).where(OperationStep.watched, of_task).values(watched=False, ended=sa.bindparam("end")),
        [{"task": upid, "end": dict(end)} for upid, end in ends.items()],
    )


def woken(tx: Tx) -> Sequence[str]:
    """The operations whose task has ended, which nobody has taken up yet."""
    return tx.scalars(sa.select(OperationStep.operation_id).where(OperationStep.ended.is_not(None))).all()


def finish(
    row: Operation, state: OperationState, *, result: Mapping[str, Any] | None = None, forget: Sequence[str] = ()
) -> None:
    row.state = state
    row.parameters = {name: None if name in forget else value for name, value in row.parameters.items()}
    row.result = dict(result) if result is not None else None
    row.finished_at = now()


def request_cancel(tx: Tx, scope: TenantScope, operation: str) -> None:
    """Raises NotFound, or Conflict where the operation has ended."""
    row = tx.scalar(locked(operation))
    if row is None or not scope.contains(row.tenant_id):
        raise NotFound
    if row.state not in (OperationState.PENDING, OperationState.RUNNING):
        raise Conflict("The operation cannot be cancelled any more.", code="operation.not_cancellable")
    row.cancel_requested = True


# -- workers and their leases


def beat(tx: Tx, worker: str) -> bool:
    """Renew a lease. False: this worker was declared dead."""
    renewed = tx.execute(
        sa.update(Worker)
        .where(Worker.id == worker, Worker.fenced.is_(False))
        .values(seen_at=now())
        .returning(Worker.id)
    )
    return renewed.first() is not None


def workers_alive(tx: Tx, lease: timedelta) -> Sequence[Worker]:
    return tx.scalars(
        sa.select(Worker).where(Worker.seen_at >= now() - lease).order_by(Worker.started_at, Worker.id)
    ).all()


def dead(tx: Tx, lease: timedelta) -> Sequence[Worker]:
    """The workers whose lease is over, fenced or not yet."""
    return tx.scalars(sa.select(Worker).where(Worker.seen_at < now() - lease)).all()


def end_lease(tx: Tx, worker: str, lease: timedelta) -> None:
    """For whoever has ended, and need not be waited for."""
    tx.execute(sa.update(Worker).where(Worker.id == worker).values(seen_at=now() - 2 * lease))


def hand_over(tx: Tx, workers: Sequence[str], heir: str) -> None:
    """From now on these workers write nothing, and what was open in their hands is the heir's."""
    tx.execute(sa.update(Worker).where(Worker.id.in_(workers)).values(fenced=True))
    held = Operation.executor.in_(workers), Operation.state.in_(OPEN_STATES)
    tx.execute(sa.update(Operation).where(*held).values(executor=heir))


def bury(tx: Tx, age: timedelta) -> None:
    """Forget the fenced workers that were last seen longer ago than this."""
    tx.execute(sa.delete(Worker).where(Worker.fenced, Worker.seen_at < now() - age))


# -- what readers see


def _views(tx: Tx, rows: Sequence[Operation]) -> list[domain.Operation]:
    found: dict[str, list[OperationStep]] = {row.id: [] for row in rows}
    if found:
        for one in tx.scalars(
            sa.select(OperationStep).where(OperationStep.operation_id.in_(found)).order_by(OperationStep.position)
        ):
            found[one.operation_id].append(one)
    positions = _queue_positions(tx, [row for row in rows if row.state == OperationState.PENDING])
    return [_view(row, found[row.id], positions.get(row.id)) for row in rows]


def _queue_positions(tx: Tx, pending: Sequence[Operation]) -> dict[str, int]:
    if not pending:
        return {}
    place = sa.func.row_number().over(
        partition_by=(Operation.queue, Operation.lane), order_by=(Operation.created_at, Operation.id)
    )
    waiting = sa.select(Operation.id, place.label("place")).where(Operation.state == OperationState.PENDING).subquery()
    rows = tx.execute(
        sa.select(waiting.c.id, waiting.c.place).where(waiting.c.id.in_([row.id for row in pending]))
    ).all()
    return {row.id: row.place for row in rows}


def _view(row: Operation, taken: Sequence[OperationStep], queue_position: int | None) -> domain.Operation:
    done = sum(one.state == StepState.DONE for one in taken)
    return domain.Operation(
        id=row.id,
        type=row.type,
        state=OperationState(row.state),
        tenant=row.tenant_id,
        guest=row.guest_id,
        steps=[domain.OperationStep(one.name, StepState(one.state), one.upid) for one in taken],
        progress=1.0 if row.state == OperationState.SUCCEEDED else round(done / max(1, len(taken)), 3),
        queue_position=queue_position,
        error=row.error,
        result=row.result,
        created_by=row.created_by,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
