"""Operations, the steps they took, the answers that were promised, the workers that are alive."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table, Uuid
from app.db.session import now
from app.domain.operations import OPEN_STATES

_ENDED = sa.text("ended IS NOT NULL")
_OPEN = sa.text("guest_id IS NOT NULL AND state IN ({})".format(", ".join(f"'{state}'" for state in OPEN_STATES)))


class Operation(Table):
    """`executor` is the worker that may write to it: a worker that was declared dead and wakes up may not.

    `workflow` is the run of the engine that carries it out; it waits in `queue`, among those of its `lane`.
    `parameters` are the saga's. `deadline` ends the patience with a cluster that is away.
    """

    __tablename__ = "operations"

    id: Mapped[Key]
    type: Mapped[str]
    version: Mapped[int]
    state: Mapped[str]
    tenant_id: Mapped[str | None] = mapped_column(sa.String(36))
    guest_id: Mapped[str | None] = mapped_column(sa.String(36), index=True)
    queue: Mapped[str]
    lane: Mapped[str]
    workflow: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    executor: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_by: Mapped[str]
    created_at: Mapped[Created]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    deadline: Mapped[datetime]

    __table_args__ = (
        sa.Index("uq_operations_open_guest", "guest_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        sa.Index("ix_operations_list", "tenant_id", "created_at", "id"),
        sa.Index("ix_operations_waiting", "state", "queue", "created_at"),
    )


class OperationStep(Table):
    """`began_at` is written before the step's first PVE call and `upid` before anyone waits for the task.

    `watched`: somebody waits for the task; `ended`: how it ended, until that has been taken up; `tries`: how often its
    undo was tried again.
    """

    __tablename__ = "operation_steps"
    __table_args__ = (
        sa.Index("ix_operation_steps_ended", "operation_id", sqlite_where=_ENDED, postgresql_where=_ENDED),
    )

    operation_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    state: Mapped[str]
    began_at: Mapped[datetime | None]
    upid: Mapped[str | None]
    watched: Mapped[bool] = mapped_column(default=False, index=True)
    ended: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    undo_began_at: Mapped[datetime | None]
    undo_upid: Mapped[str | None]
    judged: Mapped[list[str]]
    tries: Mapped[int] = mapped_column(default=0)
    output: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))


class Idempotency(Table):
    """The answer that a user's key was given in a tenant; it commits with the change it answers.

    `tenant` is the tenant (or pool) as the request names it, empty where it names none.
    """

    __tablename__ = "idempotency"

    user_id: Mapped[Uuid] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(sa.String(64), primary_key=True, default="")
    key: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int]
    body: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    operation_id: Mapped[str | None]
    created_at: Mapped[Created]


class Worker(Table):
    """A worker's lease. One whose `seen_at` is older than the lease is dead: it is fenced, and its work taken over."""

    __tablename__ = "workers"

    id: Mapped[Key]
    host: Mapped[str]
    fenced: Mapped[bool] = mapped_column(default=False)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime] = mapped_column(default=now)
