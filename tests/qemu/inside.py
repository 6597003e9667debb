"""Inside a booted guest: its serial line's log, and commands that its agent executes."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.qemu.machines import MachineId
from tests.qemu.daemon import wait_for

BOOT_SECONDS = 240.0


class Inside:
    """The tiny guest `machine` at `uri`, with its serial log."""

    def __init__(self, uri: str, machine: MachineId, serial_log: Path) -> None:
        self._uri = uri
        self._machine = machine
        self.serial_log = serial_log

    def said(self) -> str:
        return self.serial_log.read_text(errors="replace") if self.serial_log.exists() else ""

    def wait_ready(self, times: int = 1) -> None:
        """Until it has booted for the `times`th time, and its agent answers."""
        wait_for(lambda: self.said().count("READY") >= times, f"READY of {self.said()[-500:]}", BOOT_SECONDS)
        wait_for(self._answers, "the agent", BOOT_SECONDS)

    def run(self, command: str, seconds: float = 30) -> tuple[int, str]:
        """Exit status and output of a command of the guest's shell."""
        began = self._ask(
            "guest-exec",
            **{"path": "/bin/sh", "arg": ["-c", f"exec 2>&1; {command}"], "capture-output": True},
        )
        end = time.monotonic() + seconds
        while not (status := self._ask("guest-exec-status", pid=began["pid"]))["exited"]:
            assert time.monotonic() < end, f"{command!r} did not end within {seconds:g} s"
            time.sleep(0.05)
        return int(status.get("exitcode", -1)), base64.b64decode(status.get("out-data", "")).decode(errors="replace")

    def output(self, command: str) -> str:
        status, text = self.run(command)
        assert status == 0, (command, text)
        return text.strip()

    def _answers(self) -> bool:
        import libvirt

        with contextlib.suppress(libvirt.libvirtError):
            self._ask("guest-ping")
            return True
        return False

    def _ask(self, command: str, **arguments: object) -> Any:
        import libvirt_qemu

        with _domain(self._uri, self._machine) as domain:
            text = json.dumps({"execute": command, "arguments": arguments})
            return json.loads(libvirt_qemu.qemuAgentCommand(domain, text, 20, 0))["return"]


@contextmanager
def _domain(uri: str, machine: MachineId) -> Iterator[Any]:
    import libvirt

    connection = libvirt.open(uri)
    try:
        yield connection.lookupByUUIDString(machine)
    finally:
        connection.close()
