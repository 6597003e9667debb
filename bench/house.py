"""A house of the benchmark's own: lab, web and worker as processes, state in a folder that goes with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.config import Settings
from bench.load import Client

CHECKOUT = Path(__file__).resolve().parents[1]
ADMIN_PASSWORD = "only for the benchmark"
_LAB_PASSWORD = "lab of the benchmark"


@dataclass
class House:
    folder: Path
    environ: dict[str, str]
    url: str
    lab_control: str
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.environ)

    def start(self, name: str, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Run a program of the house's environment; its output goes to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).parent / command[0]), *command[1:]],
                cwd=CHECKOUT, env={**os.environ, **self.environ, **environ}, stdout=log, stderr=log,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A worker that is ready, and a fresh inventory: /api/ready says both."""
        worker = self.start("worker", "poolhouse", "worker")
        client = Client(self.url)
        wait_until(lambda: client.ask("GET", "/api/ready").status == 200, "the house is ready", worker)
        return worker

    def run(self, *command: str) -> None:
        process = self.start(command[1], *command)
        if process.wait(120):
            raise RuntimeError(f"{command} failed: {(self.folder / f'{command[1]}.log').read_text()[-2000:]}")
        self._processes.remove(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._processes.remove(process)

    def end_all(self) -> None:
        for process in reversed(self._processes.copy()):
            self.end(process)

    def login(self, username: str = "admin", password: str = ADMIN_PASSWORD) -> Client:
        answer = Client(self.url).ask("POST", "/api/auth/login", {"username": username, "password": password})
        assert answer.status == 200, answer.body
        return Client(self.url, answer.json()["access_token"])

    def pve_calls(self) -> list[Mapping[str, Any]]:
        """Every call that the lab has got since it started, or since `forget_pve_calls`."""
        with _open(f"{self.lab_control}/__lab__/calls") as answer:
            calls: list[Mapping[str, Any]] = json.load(answer)["data"]
            return calls

    def forget_pve_calls(self) -> None:
        _open(urllib.request.Request(f"{self.lab_control}/__lab__/calls", method="DELETE")).close()


@contextmanager
def running_house(*lab_options: str) -> Iterator[House]:
    """Lab and web are up; the worker is not yet. Without rate limits, and with the lab's work taking no time."""
    with tempfile.TemporaryDirectory(prefix="poolhouse-bench-") as folder:
        house = _house(Path(folder))
        try:
            _start_lab(house, lab_options)
            house.run("poolhouse", "db", "upgrade")
            lab, certificate = house.environ["BENCH_LAB_URL"], house.folder / "lab" / "lab.crt"
            house.run("poolhouse", "seed", "--lab", lab, "--ca-file", str(certificate))
            web = house.start("web", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app")
            wait_until(lambda: Client(house.url).ask("GET", "/api/health").status == 200, "web answers", web)
            yield house
        except Exception:
            _tell_logs(house)
            raise
        finally:
            house.end_all()


def _tell_logs(house: House) -> None:
    """The ends of what the processes said: their folder goes with the house."""
    for path in sorted(house.folder.glob("*.log")):
        text = path.read_text(errors="replace")
        print(f"--- {path.stem}", text[-3000:], sep="\n", file=sys.stderr)


def _house(folder: Path) -> House:
    web, lab, control = free_ports(3)
    environ = {
        "POOLHOUSE_MODE": "development",
        "POOLHOUSE_STATE_DIR": str(folder),
        "POOLHOUSE_DATABASE_URL": f"sqlite:///{folder}/poolhouse.db",
        "POOLHOUSE_PORT": str(web),
        "POOLHOUSE_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "POOLHOUSE_LAB_PASSWORD": _LAB_PASSWORD,
        "POOLHOUSE_LAB_PORT": str(lab),
        "POOLHOUSE_LAB_CONTROL_PORT": str(control),
        "POOLHOUSE_RATELIMIT_ENABLED": "0",
        "POOLHOUSE_LOG_LEVEL": "warning",
        "BENCH_LAB_URL": f"https://127.0.0.1:{lab}",
    }
    return House(folder, environ, f"http://127.0.0.1:{web}", f"http://127.0.0.1:{control}")


def _start_lab(house: House, options: Sequence[str]) -> None:
    port, control = house.environ["POOLHOUSE_LAB_PORT"], house.environ["POOLHOUSE_LAB_CONTROL_PORT"]
    lab = house.start(
        "lab", "poolhouse", "lab", "--host", "127.0.0.1", "--port", port, "--control-port", control,
        "--state", "demo", "--cert-dir", str(house.folder / "lab"), "--time-scale", "0", *options,
    )  # fmt: skip
    wait_until(lambda: _accepts(int(port)) and _accepts(int(control)), "the lab accepts", lab)


def wait_until(true: Callable[[], bool], what: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"It did not come so far that {what}: {process.args!r}")


def _accepts(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _open(what: str | urllib.request.Request) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(what, timeout=30)
