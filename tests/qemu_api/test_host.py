"""What this host is: seen by the worker, told by every door, with libvirt or without."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import bootstrap, create_app
from app.config import Settings
from app.db import local_host
from app.db.session import Database
from app.domain.local import Trouble
from app.services.local.host import LocalHostKeeper
from tests.api.test_errors import assert_problem
from tests.house import ADMIN_PASSWORD, Caller

FACTS: dict[str, Any] = {
    "hypervisor": "QEMU 7.2.0", "library": "libvirt 9.0.0",
    "accelerator": {"type": "tcg", "reason": "This host has no /dev/kvm."},
    "cores": 2, "cpu": "one", "memory": 4096, "free_memory": 1024, "cpu_models": ["qemu64"],
    "features": ["networks", "uefi"], "bridges": ["br0", "br1", "br2"],
    "interfaces": [{"name": "eth0", "up": True, "mac": "52:54:00:00:00:01"}],
}  # fmt: skip


class Doors:
    """The API without a worker: what one saw is written here."""

    def __init__(self, state: Path, **more: str) -> None:
        self.settings = Settings.from_env(
            {
                "POOLHOUSE_MODE": "development", "POOLHOUSE_STATE_DIR": str(state), "POOLHOUSE_LAB": "0",
                "POOLHOUSE_ADMIN_PASSWORD": ADMIN_PASSWORD, "POOLHOUSE_RATELIMIT_ENABLED": "0", **more,
            }
        )  # fmt: skip
        bootstrap.migrate(self.settings)
        bootstrap.seed(self.settings)
        self.app = create_app(self.settings)
        self.db = Database(self.settings.database_url)

    def login(self, name: str = "admin", password: str = ADMIN_PASSWORD) -> Caller:
        caller = Caller(self.app.test_client())
        told = caller.post("/auth/login", {"username": name, "password": password})
        return Caller(self.app.test_client(), told.get_json()["access_token"])

    def somebody(self) -> Caller:
        name = f"somebody-{uuid.uuid4().hex[:8]}"
        body = {"username": name, "password": ADMIN_PASSWORD, "role": "user"}
        assert self.login().post("/users", body).status_code == 201
        return self.login(name)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    found = Doors(tmp_path_factory.mktemp("doors"))
    yield found
    found.db.close()


def test_before_a_worker_has_looked_it_is_away(doors: Doors) -> None:
    problem = assert_problem(doors.login().get("/qemu/host"), 503, "qemu.unreachable")
    assert problem["remedy"]


def test_everybody_who_is_logged_in_sees_what_the_worker_saw(doors: Doors) -> None:
    with doors.db.begin() as tx:
        local_host.observe(tx, FACTS)
    told = doors.somebody().get("/qemu/host")
    assert told.status_code == 200
    shown = told.get_json()
    assert shown.pop("observed_at")
    assert shown == {name: value for name, value in FACTS.items() if name not in ("bridges", "interfaces")}


def test_bridges_and_interfaces_are_lists_for_administrators(doors: Doors) -> None:
    with doors.db.begin() as tx:
        local_host.observe(tx, FACTS)
    admin, nobody = doors.login(), doors.somebody()
    first = admin.get("/qemu/bridges?limit=2").get_json()
    assert (first["data"], first["count"]) == ([{"name": "br0"}, {"name": "br1"}], 3)
    rest = admin.get(f"/qemu/bridges?cursor={first['next']}").get_json()
    assert rest == {"data": [{"name": "br2"}], "count": 3, "next": None}
    assert admin.get("/qemu/interfaces").get_json() == {"data": FACTS["interfaces"], "count": 1, "next": None}
    for path in ("/qemu/bridges", "/qemu/interfaces"):
        assert_problem(nobody.get(path), 403, "policy.forbidden")


def test_what_is_missing_is_told_with_what_mends_it(doors: Doors) -> None:
    with doors.db.begin() as tx:
        local_host.fail(tx, Trouble("qemu.not_installed", "libvirt is not installed.", "Run `make qemu` as root."))
    for path in ("/qemu/host", "/qemu/bridges", "/qemu/interfaces"):
        problem = assert_problem(doors.login().get(path), 503, "qemu.not_installed")
        assert problem["remedy"] == "Run `make qemu` as root."


def test_a_daemon_that_is_away_is_written_down_and_so_is_its_return(doors: Doors) -> None:
    with doors.db.begin() as tx:
        local_host.observe(tx, FACTS)
    LocalHostKeeper(doors.db, "qemu+unix:///system?socket=/nowhere/at-all").look()
    with doors.db.read() as tx:
        seen = local_host.seen(tx)
    assert isinstance(seen, Trouble)
    assert seen.code in ("qemu.unreachable", "qemu.not_installed")
    assert seen.remedy
    with doors.db.begin() as tx:
        local_host.observe(tx, FACTS)
    assert doors.login().get("/qemu/host").status_code == 200


def test_a_house_without_local_qemu_says_so(tmp_path: Path) -> None:
    doors = Doors(tmp_path, POOLHOUSE_QEMU="0")
    with doors.db.begin() as tx:
        local_host.observe(tx, FACTS)
    for path in ("/qemu/host", "/qemu/bridges", "/qemu/interfaces"):
        problem = assert_problem(doors.login().get(path), 503, "qemu.off")
        assert "POOLHOUSE_QEMU=1" in problem["remedy"]
    doors.db.close()
