"""The real application on a database of its own; neither lab nor worker, which these tests need nothing from."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from app import bootstrap, create_app
from app.config import Settings
from tests.house import ADMIN_PASSWORD, Caller

Opener = Callable[..., Flask]


@pytest.fixture(scope="session")
def migrated_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with our tables and the engine's, to be copied."""
    folder = tmp_path_factory.mktemp("migrated-house")
    bootstrap.migrate(Settings.from_env({"POOLHOUSE_MODE": "development", "POOLHOUSE_STATE_DIR": str(folder)}))
    database = folder / "poolhouse.db"
    # what is still in the log beside it would not be copied
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


@pytest.fixture
def open_app(migrated_house: Path, tmp_path: Path) -> Opener:
    """An application with the first administrator; its settings may be given as variables."""

    def opened(**variables: str) -> Flask:
        database = tmp_path / "poolhouse.db"
        if not database.exists():
            shutil.copy(migrated_house, database)
        settings = Settings.from_env(
            {
                "POOLHOUSE_MODE": "development",
                "POOLHOUSE_STATE_DIR": str(tmp_path),
                "POOLHOUSE_ADMIN_PASSWORD": ADMIN_PASSWORD,
                "POOLHOUSE_RATELIMIT_ENABLED": "0",
                **{f"POOLHOUSE_{name.upper()}": value for name, value in variables.items()},
            }
        )
        bootstrap.seed(settings)
        return create_app(settings)

    return opened


@pytest.fixture
def app(open_app: Opener) -> Flask:
    return open_app()


@pytest.fixture
def anonymous(app: Flask) -> Caller:
    return Caller(app.test_client())


@pytest.fixture
def admin(app: Flask) -> Caller:
    return log_in(app)


def log_in(app: Flask, username: str = "admin", password: str = ADMIN_PASSWORD) -> Caller:
    answer = Caller(app.test_client()).post("/auth/login", {"username": username, "password": password})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return Caller(app.test_client(), answer.get_json()["access_token"])
