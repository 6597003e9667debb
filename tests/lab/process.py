"""The lab as a process of its own, for tests."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class LabProcess:
    url: str
    port: int
    password: str
    control_url: str
    ca_file: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, state: str = "fresh", guests: int = 0, time_scale: float = 0, *, keep: Path | None = None
    ) -> LabProcess:
        """A lab that accepts connections."""
        folder = Path(tempfile.mkdtemp(prefix="lab-"))
        port, control = free_port(), free_port()
        password = secrets.token_urlsafe(12)
        command = [
            sys.executable, "-m", "app.lab", "--port", str(port), "--control-port", str(control), "--state", state,
            "--guests", str(guests), "--time-scale", str(time_scale), "--cert-dir", str(folder),
            *(["--keep", str(keep)] if keep else []),
        ]  # fmt: skip
        environ = {**os.environ, "POOLHOUSE_LAB_PASSWORD": password}
        log = (folder / "lab.log").open("wb")
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        lab = cls(
            f"https://127.0.0.1:{port}", port, password, f"http://127.0.0.1:{control}", folder / "lab.crt", process
        )
        lab._wait(folder)
        return lab

    def _wait(self, folder: Path) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise AssertionError((folder / "lab.log").read_text())

    def control(self, method: str, name: str, body: Any = None) -> Any:
        """The answer of the control port."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self.control_url}/__lab__/{name}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("GET", "calls")["data"]
        return found

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
