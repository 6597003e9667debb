"""How the suite runs, and databases: every test that asks for one gets its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import settings

from app.db import schema
from app.db.session import Database
from tests import servers

if TYPE_CHECKING:
    from tests.house import Caller, House


#: How long an example takes says how busy the machine is.
settings.register_profile("poolhouse", deadline=None)
settings.load_profile("poolhouse")


def pytest_xdist_auto_num_workers() -> int:
    """One process and a half to a core: a test waits for lab, worker and database as much as it computes."""
    cores = os.cpu_count() or 1
    return cores + (cores + 1) // 2


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An own PostgreSQL server; the URL is of a database that nobody uses."""
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with servers.postgres(programs, tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An own Redis server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    with servers.redis_server(program, tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/poolhouse.db"
        return
    yield from _postgres_database(request.getfixturevalue("postgres_url"), template="template1")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database of the test's own."""
    migrated = request.getfixturevalue(f"migrated_{request.param}")
    if request.param == "sqlite":
        yield from _opened(f"sqlite:///{shutil.copy(migrated, tmp_path / 'poolhouse.db')}")
        return
    for url in _postgres_database(request.getfixturevalue("postgres_url"), template=migrated):
        yield from _opened(url)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied: faster than migrating for each test."""
    path = tmp_path_factory.mktemp("migrated") / "poolhouse.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgres_url: str) -> str:
    """The name of a migrated database, to be copied."""
    name = "migrated"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    _migrate(postgres_url.removesuffix("/postgres") + f"/{name}")
    return name


def _migrate(url: str) -> None:
    db = Database(url)
    schema.upgrade(db)
    db.close()


def _opened(url: str) -> Iterator[Database]:
    db = Database(url)
    try:
        yield db
    finally:
        db.close()


def _postgres_database(server: str, *, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.removesuffix("/postgres") + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with its lab and one worker, for all tests that leave it as it was."""
    from tests.house import House
    from tests.lab.process import LabProcess

    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("house"), lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    """One of a test file's own."""
    return house.make_tenant()


@pytest.fixture(scope="module")
def member(house: House, tenant: dict[str, Any]) -> Caller:
    """An operator in it."""
    return house.make_member(tenant)
