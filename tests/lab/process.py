"""A lab as a process of its own, for tests that want the real thing, and its callers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import requests

from app.lab.testing.process import PASSWORD, PveLab

__all__ = ["PASSWORD", "LabProcess", "Session", "running"]


class LabProcess(PveLab):
    """A running lab with sessions of its callers."""

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
