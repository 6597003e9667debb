"""prometheus-pve-exporter as a server of its own, one for the module."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.clients.environments import Environment, python_environment
from tests.lab.clients.exporter.scraping import Exporter
from tests.lab.process import LabProcess, Session

_READY_SECONDS = 30.0


@pytest.fixture(scope="session")
def environment() -> Environment:
    return python_environment(Path(__file__).parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"the exporter ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the exporter did not listen in time")


def token(admin: Session, user: str) -> str:
    """The secret of a new token `user!exporter` with rights of its own."""
    return str(admin.ok("POST", f"/access/users/{user}/token/exporter")["value"])


def audited(admin: Session) -> str:
    """A user with a token that may look at everything, as the exporter's manual says; the token's secret."""
    admin.ok("POST", "/access/users", userid="prometheus@pve")
    secret = token(admin, "prometheus@pve")
    for whom in ({"users": "prometheus@pve"}, {"tokens": "prometheus@pve!exporter"}):
        admin.ok("PUT", "/access/acl", path="/", roles="PVEAuditor", **whom)
    return secret


def settings(secret: str, narrow: str) -> str:
    """The exporter's configuration: the modules `default`, `narrow` (a token without rights), `wrong`."""
    return f"""\
default: {{user: prometheus@pve, token_name: exporter, token_value: {secret}, verify_ssl: true}}
narrow: {{user: narrow@pve, token_name: exporter, token_value: {narrow}, verify_ssl: true}}
wrong: {{user: root@pam, password: wrong-password, verify_ssl: true}}
"""


@pytest.fixture(scope="module")
def root(demo_process: LabProcess) -> Session:
    return demo_process.login()


@pytest.fixture(scope="module")
def exporter(
    environment: Environment, demo_process: LabProcess, root: Session, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exporter]:
    """It has read its settings when it starts, so the module's lab is never reset."""
    folder, port = tmp_path_factory.mktemp("exporter"), _free_port()
    root.ok("POST", "/access/users", userid="narrow@pve")
    file = folder / "pve.yml"
    file.write_text(settings(audited(root), token(root, "narrow@pve")))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                environment.program("pve_exporter"),
                *("--config.file", file, "--web.listen-address", f"127.0.0.1:{port}", "--collector.pve-api-metrics"),
            ],
            env={**os.environ, "NO_PROXY": "*", "REQUESTS_CA_BUNDLE": str(demo_process.ca_file)},
            stdout=log,
            stderr=log,
        )
        try:
            _wait(process, port)
            yield Exporter(demo_process, f"http://127.0.0.1:{port}", folder / "log")
        finally:
            process.terminate()
            process.wait(20)
