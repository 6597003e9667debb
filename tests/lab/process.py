"""A lab as a process of its own, for tests that want the real thing: `python -m app.lab` behind real sockets."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

PASSWORD = "lab-password-1"
_READY_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[2]


def _free_pair() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@dataclass
class LabProcess:
    """A running lab. `url` is that of the API without a path, `control` speaks to the control port."""

    process: subprocess.Popen[bytes]
    port: int
    control_port: int
    password: str
    ca_file: Path
    """The certificate that the lab shows, in PEM."""
    own_folder: Path | None

    @classmethod
    def start(
        cls,
        state: str = "fresh",
        guests: int = 0,
        time_scale: float = 0,
        *,
        keep: Path | None = None,
        cert_dir: Path | None = None,
        password: str = PASSWORD,
    ) -> LabProcess:
        """Start a lab and wait until it accepts connections."""
        port, control_port = _free_pair()
        own_folder = None if cert_dir else Path(tempfile.mkdtemp(prefix="lab-"))
        folder = cert_dir or own_folder
        command = [
            *(sys.executable, "-m", "app.lab", "--port", str(port), "--control-port", str(control_port)),
            *("--state", state, "--guests", str(guests), "--time-scale", str(time_scale)),
            *(("--keep", str(keep)) if keep else ()),
            *("--cert-dir", str(folder)),
        ]
        environment = {**os.environ, "POOLHOUSE_LAB_PASSWORD": password}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        lab = cls(process, port, control_port, password, Path(str(folder)) / "lab.crt", own_folder)
        lab._wait()
        return lab

    def _wait(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"the lab ended with {self.process.returncode}")
            time.sleep(0.01)
        self.stop()
        raise RuntimeError("the lab did not listen in time")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}/__lab__"

    def control(self, method: str, name: str, body: Any = None, **query: Any) -> Any:
        """The `data` of a call of the control port: `calls`, `reset`, `state`, `faults`, `clock`."""
        answer = requests.request(method, f"{self.control_url}/{name}", json=body, params=query, timeout=30)
        answer.raise_for_status()
        return answer.json()["data"]

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """What came to the API, oldest first."""
        rows: list[dict[str, Any]] = self.control("GET", "calls", since=since)
        return rows

    def fault(self, **rule: Any) -> Fault:
        """Add a rule of faults; returns its id, which as a context manager takes it away at the end."""
        fault = Fault(self.control("POST", "faults", rule)["id"])
        fault.lab = self
        return fault

    def login(self, user: str = "root@pam", password: str | None = None) -> Session:
        """A session with a ticket."""
        session = Session(self)
        session.log_in(user, password or self.password)
        return session

    def token(self, name: str, secret: str) -> Session:
        """A session with an API token, `USER@REALM!ID` and its secret."""
        session = Session(self)
        session.http.headers["Authorization"] = f"PVEAPIToken={name}={secret}"
        return session

    def anonymous(self) -> Session:
        return Session(self)

    def reset(self) -> None:
        """Back to the start."""
        self.control("POST", "reset")

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.own_folder:
            shutil.rmtree(self.own_folder, ignore_errors=True)


class Fault(int):
    """The id of a rule, in force while a block runs, or until somebody removes it."""

    lab: LabProcess

    def __enter__(self) -> int:
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.control("DELETE", "faults", id=int(self))


class Session:
    """One caller of the API."""

    def __init__(self, lab: LabProcess) -> None:
        self._lab = lab
        self.http = requests.Session()
        self.http.verify = str(lab.ca_file)
        self.http.trust_env = False

    def log_in(self, user: str, password: str) -> None:
        data = self.ok("POST", "/access/ticket", username=user, password=password)
        self.http.headers["Cookie"] = f"PVEAuthCookie={data['ticket']}"
        self.http.headers["CSRFPreventionToken"] = data["CSRFPreventionToken"]

    def call(self, method: str, path: str, /, api: str = "json", **params: Any) -> requests.Response:
        """Any answer; parameters go into the query of GET and DELETE, into a form otherwise."""
        names = {name.rstrip("_").replace("__", "-"): value for name, value in params.items()}
        place = {"params": names} if method in ("GET", "DELETE") else {"data": names}
        return self.http.request(method, f"{self._lab.url}/api2/{api}{path}", timeout=60, **place)  # type: ignore[arg-type]

    def ok(self, method: str, path: str, /, **params: Any) -> Any:
        """The data of an answer that must be 200."""
        answer = self.call(method, path, **params)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.reason} {answer.text}"
        return answer.json()["data"]

    def refused(self, method: str, path: str, /, **params: Any) -> tuple[int, str]:
        """(status, reason phrase) of an answer that must not be 200."""
        answer = self.call(method, path, **params)
        assert answer.status_code != 200, f"{method} {path}: {answer.text}"
        return answer.status_code, answer.reason

    def task(self, method: str, path: str, /, **params: Any) -> str:
        """Make a call that starts a task, wait for it; its exit status."""
        return self.wait(self.ok(method, path, **params))

    def wait(self, upid: str, seconds: float = 30) -> str:
        """The exit status of a task, once it has one."""
        node, end = upid.split(":")[1], time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.ok("GET", f"/nodes/{node}/tasks/{upid}/status")
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.02)
        raise AssertionError(f"{upid} still runs")


@contextlib.contextmanager
def running(*args: Any, **options: Any) -> Iterator[LabProcess]:
    """A lab for the length of a block; the arguments are those of `LabProcess.start`."""
    lab = LabProcess.start(*args, **options)
    try:
        yield lab
    finally:
        lab.stop()
