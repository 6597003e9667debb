"""The tables that migrations make are the tables that the models say, and no data is lost on the way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.db import quota, schema
from app.db.models import Guest, Table
from app.db.session import Database
from app.domain.errors import Conflict, Invalid, Unavailable
from app.domain.quota import Dimension
from tests.db import records


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    db = Database(empty_database_url)
    yield db
    db.close()


def tables_of(db: Database) -> set[str]:
    with db.engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def described(db: Database) -> dict[str, Any]:
    """Everything that the database itself tells about our tables."""
    with db.engine.connect() as connection:
        inspector = sa.inspect(connection)
        return {
            table: {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(table)
                },
                "key": inspector.get_pk_constraint(table),
                "foreign": by_name(inspector.get_foreign_keys(table)),
                "unique": by_name(inspector.get_unique_constraints(table)),
                "checks": by_name(inspector.get_check_constraints(table)),
                "indexes": by_name(inspector.get_indexes(table)),
            }
            for table in inspector.get_table_names()
            if table in Table.metadata.tables
        }


def by_name(found: list[Any]) -> list[str]:
    return sorted(in_words(one) for one in found)


def in_words(value: Any) -> str:
    if isinstance(value, dict):
        return str({name: in_words(value[name]) for name in sorted(value)})
    return str(value)


def test_alembic_finds_no_difference_to_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, Table.metadata)
    assert difference == []


def test_migrated_tables_are_described_like_created_ones(empty: Database) -> None:
    """Checks, defaults and the conditions of partial indexes, which Alembic does not compare."""
    schema.upgrade(empty)
    migrated = described(empty)
    schema.downgrade(empty, "base")
    Table.metadata.create_all(empty.engine)
    assert migrated == described(empty)


def test_up_down_up_on_an_empty_database(empty: Database) -> None:
    assert schema.current(empty) is None
    schema.upgrade(empty)
    assert schema.current(empty) == schema.head()
    assert tables_of(empty) == {*Table.metadata.tables, "alembic_version"}
    schema.downgrade(empty, "base")
    assert tables_of(empty) == {"alembic_version"}
    schema.upgrade(empty)
    schema.check(empty)


def test_every_migration_goes_down_and_up_again_with_data(database: Database) -> None:
    revisions = [script.revision for script in schema._scripts().walk_revisions()]
    with database.begin() as tx:
        made = records.charged_guest(tx, records.tenant(tx, records.cluster(tx)), range(100, 200))
    for lower in revisions[1:]:
        schema.downgrade(database, lower)
        schema.upgrade(database)
        with database.read() as tx:
            assert tx.get_one(Guest, made.id).document == made.document
    schema.downgrade(database, "base")
    schema.upgrade(database)
    with database.read() as tx:
        assert tx.get(Guest, made.id) is None


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    with database.begin() as tx:
        made = records.charged_guest(tx, records.tenant(tx, records.cluster(tx)), range(100, 200))
    schema.upgrade(database)
    with database.read() as tx:
        assert tx.get_one(Guest, made.id).vmid == 100


def test_two_processes_that_migrate_at_once_both_succeed(empty: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        others = [Database(empty.url) for _ in range(4)]
        for done in [threads.submit(schema.upgrade, other) for other in others]:
            done.result(60)
    schema.check(empty)
    for other in others:
        other.close()


class TestRevisionOfTheDatabase:
    def test_newer_than_the_code_is_refused_in_one_sentence(self, database: Database) -> None:
        with database.begin() as tx:
            tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        for refused in (schema.check, schema.upgrade, lambda db: schema.downgrade(db, "base")):
            with pytest.raises(Unavailable, match="9999") as caught:
                refused(database)
            assert caught.value.code == "database.newer"
            assert caught.value.detail.count(".") == 1

    def test_older_than_the_code_is_refused(self, empty: Database) -> None:
        with pytest.raises(Unavailable) as caught:
            schema.check(empty)
        assert caught.value.code == "database.outdated"
        assert caught.value.remedy is not None
        assert "poolhouse db upgrade" in caught.value.remedy

    def test_an_unknown_target_is_refused(self, database: Database) -> None:
        with pytest.raises(Invalid):
            schema.upgrade(database, "no-such-revision")
        assert schema.current(database) == schema.head()

    def test_a_database_that_is_away_is_unavailable(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable) as caught:
            schema.upgrade(Database(f"sqlite:///{tmp_path}/no/such/folder.db"))
        assert caught.value.code == "database.unavailable"


@pytest.fixture
def copied_migrations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of migrations, as a copy that a test may add to."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "_FOLDER", folder)
    return folder


def test_a_new_migration_starts_out_empty_while_models_and_tables_agree(
    database: Database, copied_migrations: Path
) -> None:
    """What `revision` writes is what autogenerate finds; DBOS' tables beside ours are none of its business."""
    with database.begin() as tx:
        tx.execute(sa.text("CREATE TABLE workflow_status (workflow_uuid TEXT PRIMARY KEY)"))
    written = schema.revision(database, "add nothing")
    assert written.parent == copied_migrations / "versions"
    assert written.read_text().count("pass\n") == 2


REBUILDING = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "next", "{head}"

def upgrade():
    with op.batch_alter_table("tenants", recreate="auto") as table:
        table.add_column(sa.Column("colour", sa.String()))
        table.alter_column("comment", existing_type=sa.String(), nullable=True)

def downgrade():
    with op.batch_alter_table("tenants", recreate="auto") as table:
        table.alter_column("comment", existing_type=sa.String(), nullable=False)
        table.drop_column("colour")
"""


def test_a_rebuilt_table_keeps_what_refers_to_it(database: Database, copied_migrations: Path) -> None:
    """SQLite alters a column by dropping the table, and a dropped tenant would take its guests' allocations along."""
    with database.begin() as tx:
        tenant = records.tenant(tx, records.cluster(tx))
        records.charged_guest(tx, tenant, range(100, 200))
        quota.set_limits(tx, tenant.id, {Dimension.GUESTS: 5})
        used = quota.used(tx, tenant.id)
    (copied_migrations / "versions" / "next.py").write_text(REBUILDING.format(head=schema.head()))
    for move in (schema.upgrade, lambda db: schema.downgrade(db, "-1")):
        move(database)
        with database.begin() as tx:
            assert quota.used(tx, tenant.id) == used
            assert quota.limits(tx, tenant.id) == {Dimension.GUESTS: 5}
    with pytest.raises(Conflict), database.begin() as tx:
        tx.execute(sa.text("DELETE FROM clusters"))  # foreign keys hold again


def test_a_migration_that_breaks_leaves_nothing_behind(database: Database, copied_migrations: Path) -> None:
    broken = REBUILDING.replace("def downgrade", "    raise RuntimeError('broken')\n\ndef downgrade")
    (copied_migrations / "versions" / "next.py").write_text(broken.format(head=schema.head()))
    before = schema.current(database), described(database)
    with pytest.raises(RuntimeError, match="broken"):
        schema.upgrade(database)
    assert (schema.current(database), described(database)) == before
