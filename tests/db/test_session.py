"""Transactions: one per use case, joined by what is called inside; all or nothing; trouble has a name."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app.db import operations, session, tenants
from app.db.models import Cluster, Operation, Tenant, User, VmidClaim
from app.db.session import Database, Tx
from app.domain.errors import AppError, Conflict, Unavailable
from app.domain.operations import OperationState
from tests import servers
from tests.db import contenders, records


def names(db: Database) -> list[str]:
    with db.read() as tx:
        return list(tx.scalars(sa.select(User.username).order_by(User.username)))


class TestJoining:
    def test_a_transaction_inside_another_commits_with_it(self, database: Database) -> None:
        with database.begin() as outer:
            records.user(outer, "outer")
            with database.begin() as inner:
                assert inner is outer
                records.user(inner, "inner")
            with ThreadPoolExecutor(1) as elsewhere:
                assert elsewhere.submit(names, database).result() == []
        assert names(database) == ["inner", "outer"]

    def test_what_fails_after_the_inner_one_takes_it_back(self, database: Database) -> None:
        def fail_late() -> None:
            with database.begin():
                with database.begin() as inner:
                    records.user(inner)
                raise RuntimeError("late")

        with pytest.raises(RuntimeError):
            fail_late()
        assert names(database) == []

    def test_a_reader_inside_sees_what_was_written(self, database: Database) -> None:
        with database.begin() as tx:
            records.user(tx)
            assert names(database) == ["maria"]

    def test_another_thread_does_not_join(self, database: Database) -> None:
        with database.begin() as tx, ThreadPoolExecutor(1) as elsewhere:
            joined = elsewhere.submit(lambda: database._ambient.get())
            assert joined.result() is None
            assert database._ambient.get() is tx

    def test_another_database_does_not_join(self, database: Database, tmp_path: Path) -> None:
        other = Database(f"sqlite:///{tmp_path}/other.db")
        with database.begin() as tx, other.read() as elsewhere:
            assert elsewhere is not tx
        other.close()

    def test_the_next_transaction_is_a_new_one(self, database: Database) -> None:
        with pytest.raises(RuntimeError), database.begin():
            raise RuntimeError
        with database.begin() as first:
            pass
        with database.begin() as second:
            assert second is not first


class TestRollback:
    @pytest.mark.parametrize("error", [RuntimeError, Conflict("no"), KeyboardInterrupt])
    def test_leaves_nothing(self, database: Database, error: BaseException | type[BaseException]) -> None:
        with pytest.raises(BaseException), database.begin() as tx:  # noqa: B017, PT012
            records.tenant(tx, records.cluster(tx))
            raise error
        with database.read() as tx:
            assert tx.scalar(sa.select(sa.func.count()).select_from(Cluster)) == 0

    def test_gives_its_connection_back(self, database: Database) -> None:
        small = Database(database.url, pool_size=1)
        for _ in range(40):
            with pytest.raises(RuntimeError), small.begin():
                raise RuntimeError
        small.check()
        small.close()


class TestConflicts:
    """A unique constraint decides a race, and its loser is told what he lost."""

    def test_tenants_of_one_name(self, database: Database) -> None:
        self.assert_code(database, "name.taken", tenants_of_one_name)

    def test_users_of_one_name(self, database: Database) -> None:
        self.assert_code(database, "name.taken", users_of_one_name)

    def test_one_vmid(self, database: Database) -> None:
        self.assert_code(database, "vmid.taken", two_claims)

    def test_two_open_operations_on_a_guest(self, database: Database) -> None:
        self.assert_code(database, "guest.busy", two_open_operations)

    def test_anything_else_is_told_without_the_databases_words(self, database: Database) -> None:
        error = self.assert_code(database, "conflict", two_clusters_of_one_name)
        assert "clusters" not in error.detail
        assert "clusters" in str(error.log)

    def test_closed_operations_do_not_block_a_guest(self, database: Database) -> None:
        with database.begin() as tx:
            for state in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED):
                tx.add(operation("guest", state))
            tx.add(operation("guest", OperationState.RUNNING))

    def assert_code(self, database: Database, code: str, provoke: object) -> AppError:
        with pytest.raises(Conflict) as caught, database.begin() as tx:  # noqa: PT012
            assert callable(provoke)
            provoke(tx)
        assert caught.value.code == code
        return caught.value


def tenants_of_one_name(tx: Tx) -> None:
    cluster = records.cluster(tx)
    for poolid in ("one", "two"):
        records.tenant(tx, cluster, poolid=poolid)


def users_of_one_name(tx: Tx) -> None:
    records.user(tx, "Maria")
    records.user(tx, "MARIA")


def two_claims(tx: Tx) -> None:
    cluster = records.cluster(tx)
    for guest in ("one", "two"):
        tx.execute(sa.insert(VmidClaim).values(cluster_id=cluster.id, vmid=100, guest_id=guest))


def two_open_operations(tx: Tx) -> None:
    tx.add(operation("guest", OperationState.RUNNING))
    tx.add(operation("guest", OperationState.STUCK))


def two_clusters_of_one_name(tx: Tx) -> None:
    records.cluster(tx)
    records.cluster(tx)


def operation(guest: str, state: OperationState) -> Operation:
    identity = records.new_id()
    return Operation(
        id=identity,
        workflow=identity,
        type="ct.start",
        version=1,
        state=state,
        guest_id=guest,
        queue="guests",
        lane="lane",
        parameters={},
        created_by="maria",
        deadline=session.now(),
    )


def test_l120_one_of_many_opens_an_operation_on_a_guest(database: Database) -> None:
    def submit() -> str:
        try:
            with database.begin() as tx:
                operations.add(tx, operation("guest", OperationState.PENDING), ["done"], 0)
                return "ok"
        except Conflict as error:
            return error.code

    outcomes = contenders.at_once([submit] * 32)
    assert sorted(outcomes) == ["guest.busy"] * 31 + ["ok"]


class TestLock:
    """`tenants.lock` is one decision at a time, taken on what the tenant is by then."""

    @pytest.fixture
    def tenant(self, database: Database) -> str:
        with database.begin() as tx:
            identity: str = records.tenant(tx, records.cluster(tx)).id
            return identity

    def test_who_comes_second_waits_and_sees_what_the_first_did(self, database: Database, tenant: str) -> None:
        holds, order = threading.Event(), []

        def first() -> None:
            with database.begin() as tx:
                row = tenants.lock(tx, tenant)
                holds.set()
                threading.Event().wait(0.2)
                row.comment = "first was here"
                order.append("first")

        def second() -> str:
            holds.wait(10)
            with database.begin() as tx:
                row = tenants.lock(tx, tenant)
                order.append("second")
                return row.comment

        _, comment = contenders.at_once([first, second])
        assert (order, comment) == (["first", "second"], "first was here")

    def test_what_was_read_before_the_lock_is_read_again(self, database: Database, tenant: str) -> None:
        """Else a tenant whose deletion was decided meanwhile still looks active to who waited for it."""
        looked, changed = threading.Event(), threading.Event()

        def delete() -> None:
            looked.wait(10)
            with database.begin() as tx:
                tenants.lock(tx, tenant).state = "deleting"
            changed.set()

        def create() -> str:
            with database.begin() as tx:
                tx.get_one(Tenant, tenant)
                looked.set()
                changed.wait(0.5 if database.is_sqlite else 10)
                return tenants.lock(tx, tenant).state

        _, state = contenders.at_once([delete, create])
        assert state == ("active" if database.is_sqlite else "deleting")

    def test_tenants_do_not_wait_for_each_other(self, database: Database, tenant: str) -> None:
        if database.is_sqlite:
            pytest.skip("SQLite has one writer")
        with database.begin() as tx:
            other = records.tenant(tx, tx.scalars(sa.select(Cluster)).one(), "other").id
        with database.begin() as tx, ThreadPoolExecutor(1) as elsewhere:
            tenants.lock(tx, tenant)
            elsewhere.submit(lock_and_leave, database, other).result(10)


def lock_and_leave(database: Database, tenant: str) -> None:
    with database.begin() as tx:
        tenants.lock(tx, tenant)


class TestAway:
    """A database that is away is `database.unavailable`, for everybody, and works again when it is back."""

    def assert_unavailable(self, db: Database) -> None:
        for look in (db.check, partial(names, db), partial(add_user, db)):
            with pytest.raises(Unavailable) as caught:
                look()
            assert caught.value.code == "database.unavailable"
            assert caught.value.remedy is not None
            assert "/" not in caught.value.detail

    def test_no_file(self, tmp_path: Path) -> None:
        self.assert_unavailable(Database(f"sqlite:///{tmp_path}/no/such/folder.db"))

    def test_no_server(self) -> None:
        self.assert_unavailable(Database(f"postgresql://postgres@127.0.0.1:{servers.free_port()}/poolhouse"))

    def test_a_writer_that_never_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "_BUSY_TIMEOUT_MS", 50)
        slow, db = (Database(f"sqlite:///{tmp_path}/poolhouse.db") for _ in range(2))
        with slow.begin() as tx:
            tx.execute(sa.text("CREATE TABLE held (id INTEGER)"))
            with pytest.raises(Unavailable):
                add_user(db)
        db.check()

    def test_a_pool_that_is_used_up(self, database: Database) -> None:
        small = Database(database.url, pool_size=1)
        small.engine.pool._timeout = 0.05  # type: ignore[attr-defined]
        small.engine.pool._max_overflow = 0  # type: ignore[attr-defined]
        with small.read() as tx, ThreadPoolExecutor(1) as elsewhere:
            tx.execute(sa.text("SELECT 1"))
            with pytest.raises(Unavailable):
                elsewhere.submit(small.check).result()
        small.check()
        small.close()

    def test_connections_that_were_cut(self, database: Database, postgres_url: str) -> None:
        """In the middle of a transaction that one fails; the next ones take new connections by themselves."""
        if database.is_sqlite:
            pytest.skip("SQLite has no connections to cut")
        with pytest.raises(Unavailable), database.begin() as tx:  # noqa: PT012
            records.user(tx, "lost")
            cut_all(postgres_url, database)
            tx.execute(sa.text("SELECT 1"))
        cut_all(postgres_url, database)
        add_user(database)
        assert names(database) == ["maria"]


def cut_all(server: str, database: Database) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database.engine.url.database]
        )


def add_user(db: Database) -> None:
    with db.begin() as tx:
        records.user(tx)


def test_a_moment_comes_back_as_the_same_moment_in_utc(database: Database) -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    moment = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=zone)
    with database.begin() as tx:
        made = records.user(tx)
        made.created_at = moment
    with database.read() as tx:
        found = tx.get_one(User, made.id).created_at
    assert (found, found.utcoffset()) == (moment.astimezone(UTC), timedelta())


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.begin() as tx, ThreadPoolExecutor(1) as elsewhere:
        records.user(tx)
        assert elsewhere.submit(names, database).result(5) == []
