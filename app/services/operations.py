"""Operations as their owners see them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.db import audit, operations, tenants
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict
from app.domain.operations import Operation, OperationFilter
from app.domain.paging import Page, PageRequest
from app.operations import Engine, Saga
from app.policy import rules

_SHORTEST_LOOK, _LONGEST_LOOK = 0.05, 0.5


class Operations:
    def __init__(self, db: Database, engine: Engine, sagas: dict[str, Saga]) -> None:
        self._db = db
        self._engine = engine
        self._sagas = sagas

    def list(self, ctx: Context, wanted: OperationFilter, request: PageRequest) -> Page[Operation]:
        """Newest first."""
        rules.require_scope(ctx, Privilege.OPERATION_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            if wanted.tenant is not None:
                tenant = tenants.find(tx, scope, wanted.tenant).id
                wanted = OperationFilter(wanted.state, wanted.guest, tenant, wanted.type)
            return operations.page(tx, scope, wanted, request)

    def get(self, ctx: Context, operation: str) -> Operation:
        rules.require_scope(ctx, Privilege.OPERATION_AUDIT)
        with self._db.read() as tx:
            return operations.get(tx, rules.visible(ctx), operation)

    def cancel(self, ctx: Context, operation: str) -> Operation:
        """Asks the operation to unwind; raises Conflict once it is past its point of no return."""
        scope = rules.visible(ctx)
        with self._db.begin() as tx:
            found = operations.get(tx, scope, operation)
            if found.tenant is None:
                rules.require(ctx, Privilege.OPERATION_CANCEL)
            else:
                rules.require(ctx, Privilege.OPERATION_CANCEL, on=found.tenant)
            begun = sum(step.state not in ("pending",) for step in found.steps)
            if not self._sagas[found.type].may_cancel(begun):
                raise Conflict(
                    "The operation is past the point where it could be taken back.",
                    code="operation.not_cancellable",
                )
            operations.request_cancel(tx, scope, operation)
            audit.record(tx, ctx, "operation.cancel", tenant=found.tenant, guest=found.guest, operation=operation)
            return operations.get(tx, scope, operation)

    def resolve(self, ctx: Context, operation: str, note: str) -> Operation:
        """Let a stuck operation go on with its undoing, after somebody has removed the cause."""
        rules.require(ctx, Privilege.OPERATION_RESOLVE)
        with self._db.begin() as tx:
            found = self._engine.resume_unwinding(tx, operation)
            audit.record(
                tx, ctx, "operation.resolve", tenant=found.tenant, guest=found.guest, operation=operation, subject=note
            )
            return found

    def wait(self, ctx: Context, wanted: Sequence[str], seconds: float) -> Sequence[Operation]:
        """These operations (ids) once all of them have ended, or as they are when the time is over; without those that
        the caller may not see."""
        until = time.monotonic() + seconds
        pause = _SHORTEST_LOOK
        while True:
            with self._db.read() as tx:
                if not operations.any_open(tx, wanted) or time.monotonic() >= until:
                    return operations.those(tx, rules.visible(ctx), wanted)
            time.sleep(min(pause, max(0.0, until - time.monotonic())))
            pause = min(pause * 1.5, _LONGEST_LOOK)
