"""`run.py` as a process of its own, on free ports and in a state folder of the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from tests.servers import free_port

CHECKOUT = Path(__file__).parents[2]
READY_WITHIN = 90.0


class Whole:
    """Everything that `make run` starts. `output` is what the terminal shows."""

    def __init__(self, state: Path, output: Path, **settings: str) -> None:
        self.output = output
        self.state = state
        self.environment = {
            "POOLHOUSE_STATE_DIR": str(state),
            "POOLHOUSE_PORT": str(free_port()),
            "POOLHOUSE_LAB_PORT": str(free_port()),
            "POOLHOUSE_LAB_CONTROL_PORT": str(free_port()),
            "POOLHOUSE_LAB_TIME_SCALE": "0",
            **settings,
        }
        self.url = f"http://127.0.0.1:{self.environment['POOLHOUSE_PORT']}"
        with output.open("ab") as shown:
            self.process = subprocess.Popen(
                [sys.executable, "run.py"],
                cwd=CHECKOUT,
                env=clean_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=shown,
                stderr=shown,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not (self.status() == 200 and "Swagger UI" in self.shown()):
            assert self.process.poll() is None, self.shown()
            assert time.monotonic() < deadline, f"not ready in time:\n{self.shown()}"
            time.sleep(0.1)

    def status(self) -> int | None:
        try:
            return requests.get(f"{self.url}/api/ready", timeout=5).status_code
        except requests.RequestException:
            return None

    def shown(self) -> str:
        return self.output.read_text()

    def password(self) -> str:
        found = re.search(r"Password +(\S+)  \(shown this once\)", self.shown())
        assert found, self.shown()
        return found[1]

    def children(self) -> dict[int, str]:
        """Command lines of all living processes of this tree, found by its state folder in their environment."""
        mark = f"POOLHOUSE_STATE_DIR={self.state}\0".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes() and int(folder.name) != self.process.pid:
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return {pid: command for pid, command in found.items() if command}

    def child(self, part: str) -> int:
        """The lowest process id whose command line has this part."""
        found = sorted(pid for pid, command in self.children().items() if part in command)
        assert found, f"no {part!r} in {self.children()}"
        return found[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it; how many seconds that took. Fails when anything of it lives on."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        took = time.monotonic() - began
        assert not self.children(), self.children()
        return took

    def kill(self) -> None:
        """As a test ends that has failed: nothing may stay."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """These settings and no others, whatever the developer's `.env` says."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POOLHOUSE_")}
    return {**inherited, **settings, "COLUMNS": "160", "PYTHON_DOTENV_DISABLED": "1"}
