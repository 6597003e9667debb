"""Which tables the database has: brought up, brought down, compared with what this code knows.

A migration runs in one transaction on both databases: it is there with all it does, or not at all. Two processes that
migrate at once do so one after the other, and the second finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from app.db.session import Database
from app.domain.errors import Invalid, Unavailable

_FOLDER = Path(__file__).parent / "migrations"
#: Any number that nobody else uses as a PostgreSQL advisory lock in this database.
_LOCK = 0x706F6F6C


def upgrade(db: Database, target: str = "head") -> None:
    """Bring the tables up to a revision. Raises Unavailable where the database is newer than this code, or away."""
    with _migrating(db) as config, _known_target(target):
        command.upgrade(config, target)


def downgrade(db: Database, target: str) -> None:
    """Bring the tables down to a revision; `base` is none, `-1` one step. What the tables held beyond it is lost."""
    with _migrating(db) as config, _known_target(target):
        command.downgrade(config, target)


def current(db: Database) -> str | None:
    """The revision the database is at; None where it has none of our tables."""
    db.check()
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The revision that this code works with."""
    return _scripts().get_current_head()


def check(db: Database) -> None:
    """Raises Unavailable unless the database is at exactly the revision that this code works with."""
    at = current(db)
    _refuse_newer(at)
    if at != head():
        raise Unavailable(
            f"The database is at revision {at or 'none'} and this code needs {head()}.",
            code="database.outdated",
            remedy="Run `poolhouse db upgrade`.",
        )


def revision(db: Database, message: str) -> Path:
    """Write a new migration that makes the tables equal to the models, to be read and corrected by its author."""
    number = f"{len(list(_scripts().walk_revisions())) + 1:04d}"
    with _migrating(db) as config:
        script = command.revision(config, message, autogenerate=True, rev_id=number)
    assert script is not None
    assert not isinstance(script, list)
    return Path(script.path)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _refuse_newer(at: str | None) -> None:
    if at is not None and at not in {script.revision for script in _scripts().walk_revisions()}:
        raise Unavailable(
            f"The database is at revision {at}, which this code does not know: it was migrated by a newer one.",
            code="database.newer",
            remedy="Run the newer version, or bring the database down with it first.",
        )


@contextmanager
def _migrating(db: Database) -> Iterator[Config]:
    _refuse_newer(current(db))
    config = _config()
    with db.engine.connect() as connection, _without_cascades(connection), connection.begin():
        if not db.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        yield config
        if db.is_sqlite:
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert not broken, f"a migration left rows that point nowhere: {broken[:3]}"


@contextmanager
def _without_cascades(connection: Connection) -> Iterator[None]:
    """SQLite replaces a table by dropping it, which would delete what refers to it. Only outside a transaction can
    that be switched off; `foreign_key_check` proves the result instead."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _known_target(target: str) -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise Invalid({"target": [f"{target} is not a revision that can be reached"]}, log=str(error)) from error
