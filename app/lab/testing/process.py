"""A lab as a process of its own, behind real sockets: `with PveLab.start() as lab: ...`."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Self

from app.lab.testing.control import Control, LabError

PASSWORD = "lab-password-1"  # noqa: S105 -- of a lab that only this machine can reach
_READY_SECONDS = 30.0
_ADDRESS = re.compile(rb"(control|API): https?://127\.0\.0\.1:(\d+)")


@dataclass
class PveLab(Control):
    """A running lab. It has the methods of `Control`; its API is at `url`, with TLS.

    `ca_file` is the certificate to verify it with, `password` that of root@pam.
    """

    process: subprocess.Popen[bytes]
    port: int
    control_port: int
    password: str
    ca_file: Path
    own_folder: Path | None = None
    """What is removed at the end."""
    host: ClassVar[str] = "127.0.0.1"

    @classmethod
    def start(
        cls,
        state: str | Path = "fresh",
        guests: int = 0,
        time_scale: float = 0,
        *,
        nodes: int = 2,
        keep: Path | None = None,
        cert_dir: Path | None = None,
        password: str = PASSWORD,
    ) -> Self:
        """Start a lab on free ports and wait until it listens; the options are those of `poolhouse lab`.

        By default PVE's durations take no time. Raises LabError.
        """
        own_folder = None if cert_dir else Path(tempfile.mkdtemp(prefix="lab-"))
        folder = cert_dir or own_folder
        command = [
            *(sys.executable, "-m", "app.lab", "--port", "0", "--state", str(state), "--guests", str(guests)),
            *("--nodes", str(nodes), "--time-scale", str(time_scale), "--cert-dir", str(folder)),
            *(("--keep", str(keep)) if keep else ()),
        ]
        environment = {**os.environ, "POOLHOUSE_LAB_PASSWORD": password}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)  # noqa: S603 -- our own command
        try:
            ports = _ports(process)
        except LabError:
            _end(process)
            if own_folder:
                shutil.rmtree(own_folder, ignore_errors=True)
            raise
        return cls(process, ports["API"], ports["control"], password, Path(str(folder)) / "lab.crt", own_folder)

    @property
    def url(self) -> str:
        """Of the API, without a path."""
        return f"https://{self.host}:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://{self.host}:{self.control_port}/__lab__"

    def stop(self) -> None:
        """End it, and wait for the end."""
        _end(self.process)
        if self.own_folder:
            shutil.rmtree(self.own_folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _ports(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """The ports that the lab has got, as its first lines tell them, the API's last."""
    assert process.stdout is not None
    found: dict[str, int] = {}
    end, text = time.monotonic() + _READY_SECONDS, b""
    while "API" not in found:
        text += _some(process.stdout, end - time.monotonic())
        found = {match[1].decode(): int(match[2]) for match in _ADDRESS.finditer(text)}
    return found


def _some(pipe: IO[bytes], seconds: float) -> bytes:
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        if not waiting.select(max(0, seconds)):
            raise LabError("the lab did not listen in time")
    text = os.read(pipe.fileno(), 4096)
    if not text:
        raise LabError("the lab ended at once; it has said why")
    return text
