"""A whole house for tests: the lab as a process of its own, a worker as a process of its own, the API in this process.

Everything is real: TLS to the lab, PVE tokens, the database, the engine. Only the web server's sockets are missing;
`tests/run` and `tests/deploy` have those.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.config import Settings
from tests.lab.process import LabProcess
from tests.lab_view import LabView

ADMIN_PASSWORD = "correct horse battery"
PASSWORD = "a long enough password"


def wait_for(true: Callable[[], Any], *, within: float = 20, every: float = 0.05) -> Any:
    """The first true value; fails after `within` seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        value = true()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"it did not become true within {within} s")


@dataclass
class Caller:
    """Somebody logged in (or not), speaking JSON; bytes are sent as a file."""

    client: FlaskClient
    token: str | None = None

    def send(
        self, method: str, path: str, json: Any = None, *, wait: int | None = None, **headers: str
    ) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if wait is not None:
            sent["Prefer"] = f"wait={wait}"
        more: dict[str, Any] = {} if json is None else {"json": json}
        if isinstance(json, bytes):
            more = {"data": json, "content_type": "application/octet-stream"}
        return self.client.open(f"/api{path}", method=method, headers=sent, **more)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.send("GET", path, **headers)

    def post(self, path: str, json: Any = None, *, wait: int | None = None, **headers: str) -> TestResponse:
        return self.send("POST", path, json, wait=wait, **headers)

    def put(self, path: str, json: Any = None, **headers: str) -> TestResponse:
        return self.send("PUT", path, json, **headers)

    def patch(self, path: str, json: Any = None, **headers: str) -> TestResponse:
        return self.send("PATCH", path, json, **headers)

    def delete(self, path: str, *, wait: int | None = None, **headers: str) -> TestResponse:
        return self.send("DELETE", path, wait=wait, **headers)

    def done(self, method: str, path: str, json: Any = None, **headers: str) -> dict[str, Any]:
        """Do it and wait for its end; fails unless it succeeded. Returns the operation."""
        answer = self.send(method, path, json, wait=60, **headers)
        assert answer.status_code in (200, 201), answer.get_data(as_text=True)
        operation: dict[str, Any] = answer.get_json()
        assert operation["state"] == "succeeded", operation
        return operation


@dataclass
class House:
    lab: LabProcess
    state_dir: Path
    environ: dict[str, str]
    settings: Settings
    app: Flask
    pve: LabView
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    programs: int = 0

    @classmethod
    def start(cls, state_dir: Path, lab: LabProcess, *, database_url: str | None = None, **settings: str) -> House:
        environ = {
            "POOLHOUSE_MODE": "development",
            "POOLHOUSE_STATE_DIR": str(state_dir),
            "POOLHOUSE_DATABASE_URL": database_url or f"sqlite:///{state_dir / 'poolhouse.db'}",
            "POOLHOUSE_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "POOLHOUSE_RATELIMIT_ENABLED": "0",
            "POOLHOUSE_INVENTORY_INTERVAL": "1",
            **settings,
        }
        state_dir.mkdir(parents=True, exist_ok=True)
        loaded = Settings.from_env(environ)
        bootstrap.migrate(loaded)
        bootstrap.seed_development(loaded, lab.url, lab.password, str(lab.ca_file))
        view = LabView(lab.url, lab.password, lab.ca_file, lab.control_url)
        return cls(lab, state_dir, environ, loaded, create_app(loaded), view)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker that is ready to work."""
        worker = self.start_program("app.cli", "worker")
        self.workers.append(worker)
        return worker

    def start_program(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A module of Python with the settings of this house; what it says goes into a file of its own."""
        self.programs += 1
        log = (self.state_dir / f"{module}-{self.programs}.log").open("wb")
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(command, env={**os.environ, **self.environ}, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        wait_for(lambda: self.anonymous().get("/ready").status_code == 200, within=30)

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """As the power cut would."""
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.workers.remove(worker)

    def stop(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(20)

    # -- who speaks

    def anonymous(self) -> Caller:
        return Caller(self.app.test_client())

    def login(self, username: str, password: str) -> Caller:
        answer = self.anonymous().post("/auth/login", {"username": username, "password": password})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return Caller(self.app.test_client(), answer.get_json()["access_token"])

    def admin(self) -> Caller:
        return self.login("admin", ADMIN_PASSWORD)

    # -- what is often needed

    def make_tenant(self, quota: Mapping[str, int | None] | None = None, **more: Any) -> dict[str, Any]:
        body = {"name": f"Team {uuid.uuid4().hex[:10]}", "quota": dict(quota or {}), **more}
        tenant: dict[str, Any] = self.admin().done("POST", "/tenants", body)["result"]["tenant"]
        return tenant

    def make_member(self, tenant: Mapping[str, Any], role: str = "operator") -> Caller:
        username = f"{role}-{uuid.uuid4().hex[:10]}"
        admin = self.admin()
        made = admin.post("/users", {"username": username, "password": PASSWORD, "role": "user"})
        assert made.status_code == 201, made.get_data(as_text=True)
        joined = admin.post(f"/tenants/{tenant['id']}/members", {"username": username, "role": role})
        assert joined.status_code == 201, joined.get_data(as_text=True)
        return self.login(username, PASSWORD)

    @contextmanager
    def another_storage(self, name: str = "vault", content: str = "rootdir,images") -> Iterator[str]:
        """One more storage, for guests of both kinds; the inventory knows of its coming and, at the end, of its going,
        or the next tenant would be granted it."""
        admin = self.admin()

        def is_seen() -> bool:
            return name in {row["id"] for row in admin.get("/proxmox/storages").get_json()["data"]}

        self.pve.post("/storage", storage=name, type="dir", path=f"/srv/{name}", content=content)
        wait_for(is_seen, every=0.2)
        yield name
        self.pve.delete(f"/storage/{name}")
        wait_for(lambda: not is_seen(), every=0.2)

    def calls(self) -> list[dict[str, Any]]:
        return self.pve.calls()


def container(**more: Any) -> dict[str, Any]:
    """The body of a small container."""
    return {"name": f"c-{uuid.uuid4().hex[:8]}", "template": "debian-12", "memory": 128, "disk_gb": 1, **more}


def vm(**more: Any) -> dict[str, Any]:
    """The body of a small VM with an empty disk."""
    return {"name": f"v-{uuid.uuid4().hex[:8]}", "memory": 128, "cores": 1, "disk_gb": 1, **more}


def iso(content: bytes = b"") -> bytes:
    """The smallest file that is an ISO 9660 image: system area and one descriptor."""
    return (bytes(0x8000) + b"\1CD001\1" + content).ljust(0x8800, b"\0")
