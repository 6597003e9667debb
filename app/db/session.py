"""The database and its transactions.

`begin()` is the write transaction of one use case. On SQLite it takes the write lock at once (`BEGIN IMMEDIATE`), so
that two quota decisions can never interleave; on PostgreSQL the rows that decide are locked by the queries. A `begin()`
inside another one of the same request joins it: that is how an idempotency record commits with the change it protects.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator

from app.domain.errors import Conflict, Invalid, Unavailable
from app.domain.rehearsal import Rehearsal

Tx = Session

_READ_ONLY = "poolhouse_read_only"
_REHEARSAL = "poolhouse_rehearsal"
_CHANGES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_BUSY_TIMEOUT_MS = 30_000
#: How often a writer of SQLite asks for its turn. SQLite's own waiting sleeps longer after each miss, up to 100 ms, so
#: that whoever waits longest waits worst: 50 creations a second beside a busy worker had a p99 of seconds with it.
_TURN_SECONDS = 0.001


def now() -> datetime:
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is given back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def rehearsal_of(tx: Tx) -> Rehearsal | None:
    """What is noted, where this transaction is one of which nothing is kept."""
    found: Rehearsal | None = tx.info.get(_REHEARSAL)
    return found


class Database:
    """One database, SQLite or PostgreSQL. Raises `Unavailable` where it cannot be reached, `Conflict` where a
    unique constraint decides a race, `Invalid` for a text that no database takes (PostgreSQL: one with a NUL)."""

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.url = url
        self._pool_size = pool_size
        self._others: list[Engine] = []
        self.engine = _make_engine(url, pool_size)
        #: SQLite has one writer: the threads of a process queue up here, in order, and one of them asks SQLite.
        self._writing: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()
        self._ambient: ContextVar[Tx | None] = ContextVar(f"tx-{id(self)}", default=None)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        joined = self._ambient.get()
        if joined is not None:
            yield joined
            return
        with self._writing, self._transaction(self.engine) as tx:
            token = self._ambient.set(tx)
            try:
                yield tx
            finally:
                self._ambient.reset(token)

    @contextmanager
    def rehearse(self, rehearsal: Rehearsal) -> Iterator[Tx]:
        """As `begin`, but nothing of it is kept; what it would do is noted."""
        with self.begin() as tx:
            tx.info[_REHEARSAL] = rehearsal
            yield tx
            tx.rollback()

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A look that takes no lock: each statement sees what was committed before it. Inside `begin()` it sees what
        that one wrote."""
        joined = self._ambient.get()
        if joined is not None:
            yield joined
            return
        with self._transaction(self.engine.execution_options(**{_READ_ONLY: True})) as tx:
            yield tx

    def engine_that_mostly_reads(self) -> Engine:
        """One more, of SQLite, for somebody who begins each look as if he would write: a transaction begins with its
        first change, and takes its turn as ours do."""
        engine = _make_engine(self.url, self._pool_size).execution_options(**{_READ_ONLY: True})
        event.listen(engine, "before_cursor_execute", _begin_with_a_change)
        self._others.append(engine)
        return engine

    def check(self) -> None:
        """Raises `Unavailable` unless a query is answered."""
        with self.read() as tx:
            tx.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        for engine in (self.engine, *self._others):
            engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Tx]:
        try:
            with Session(engine, expire_on_commit=False, autoflush=True) as tx, tx.begin():
                yield tx
        except IntegrityError as error:
            raise _conflict(error) from error
        except DataError as error:
            raise Invalid({}, "A value cannot be stored or looked for.", log=str(error.orig)) from error
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise Unavailable(
                "The database cannot be used at the moment.",
                code="database.unavailable", remedy="Try again in a moment.", log=str(error.__cause__ or error),
            ) from error  # fmt: skip


def _make_engine(url: str, pool_size: int) -> Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_size=pool_size, max_overflow=10, pool_pre_ping=True
        )
    engine = sa.create_engine(
        parsed, pool_size=pool_size, max_overflow=20, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(_READ_ONLY):
            _take_turn(connection)

    return engine


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Of every SQLite connection, the engine's too: with a write-ahead log, a commit that survives the process needs
    no sync, and the log is never torn; only a power cut may take the last moments."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


def _begin_with_a_change(
    connection: Connection, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
) -> None:
    raw: Any = connection.connection.dbapi_connection
    if not raw.in_transaction and statement.lstrip()[:7].upper().startswith(_CHANGES):
        _take_turn(connection)


def _take_turn(connection: Connection) -> None:
    """Begin to write. Raises OperationalError where the lock is not to be had for half a minute."""
    raw: Any = connection.connection.dbapi_connection
    until = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise OperationalError("BEGIN IMMEDIATE", None, error) from error
                time.sleep(_TURN_SECONDS)
            else:
                return
    finally:
        raw.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")


_NAME_TAKEN = "This name is taken."
_VMID_TAKEN = "This vmid is taken."
_VLAN_TAKEN = "This VLAN is another plan's."
_GUEST_BUSY = "An operation on this guest is open."
_IN_FLIGHT = "The first request with this key is still being decided."
#: Constraint (PostgreSQL) or columns (SQLite) -> code and words of a race that was lost.
_LOST_RACES: Mapping[str, tuple[str, str]] = {
    "uq_tenants_canonical": ("name.taken", _NAME_TAKEN),
    "tenants.canonical": ("name.taken", _NAME_TAKEN),
    "uq_users_canonical": ("name.taken", _NAME_TAKEN),
    "users.canonical": ("name.taken", _NAME_TAKEN),
    "uq_templates_cluster_id_name": ("name.taken", _NAME_TAKEN),
    "templates.cluster_id, templates.name": ("name.taken", _NAME_TAKEN),
    "uq_plans_canonical": ("name.taken", _NAME_TAKEN),
    "plans.canonical": ("name.taken", _NAME_TAKEN),
    "uq_groups_canonical": ("name.taken", _NAME_TAKEN),
    "groups.canonical": ("name.taken", _NAME_TAKEN),
    "uq_plans_vlan": ("vlan.taken", _VLAN_TAKEN),
    "plans.vlan": ("vlan.taken", _VLAN_TAKEN),
    "uq_flavors_name": ("name.taken", _NAME_TAKEN),
    "flavors.name": ("name.taken", _NAME_TAKEN),
    "uq_local_images_tenant_id_name": ("name.taken", _NAME_TAKEN),
    "local_images.tenant_id, local_images.name": ("name.taken", _NAME_TAKEN),
    "uq_local_images_public_name": ("name.taken", _NAME_TAKEN),
    "local_images.name": ("name.taken", _NAME_TAKEN),
    "pk_vmids": ("vmid.taken", _VMID_TAKEN),
    "vmids.cluster_id, vmids.vmid": ("vmid.taken", _VMID_TAKEN),
    "uq_guests_cluster_id_vmid": ("vmid.taken", _VMID_TAKEN),
    "guests.cluster_id, guests.vmid": ("vmid.taken", _VMID_TAKEN),
    "uq_operations_open_guest": ("guest.busy", _GUEST_BUSY),
    "operations.guest_id": ("guest.busy", _GUEST_BUSY),
    "pk_idempotency": ("idempotency.in_flight", _IN_FLIGHT),
    "idempotency.user_id, idempotency.tenant, idempotency.key": ("idempotency.in_flight", _IN_FLIGHT),
}


def _conflict(error: IntegrityError) -> Conflict:
    """By the constraint's name, never by the text around it: that may hold what a caller sent."""
    diagnosis = getattr(error.orig, "diag", None)
    constraint = diagnosis.constraint_name if diagnosis is not None else str(error.orig).partition("failed: ")[2]
    known = _LOST_RACES.get(constraint or "")
    if known is None:
        return Conflict("Somebody else changed the same thing at the same moment.", log=constraint, remedy="Try again.")
    code, detail = known
    return Conflict(detail, code=code, log=constraint)
