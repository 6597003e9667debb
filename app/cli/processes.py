"""Child processes that must run: started again when they die, ended together. What `run.py` is made of."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

GRACE = 13.0
LAST_GRACE = 4.0  # with GRACE below the 20 s within which everything has ended
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 8.0
_SETTLED_AFTER = 30.0
_LOG_BYTES = 20 << 20
_PDEATHSIG = 1  # prctl(2), PR_SET_PDEATHSIG

_libc = ctypes.CDLL(None)


class CommandFailed(Exception):
    """A command that had to succeed did not; the text is what it said."""


@dataclass
class Child:
    """A process that must run. It has a process group of its own, so that a terminal's Ctrl-C reaches only us."""

    name: str
    command: Sequence[str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = _FIRST_DELAY
    due: float = field(default_factory=time.monotonic)


class Processes:
    """The children of this process, with a log file each in `logs`. `say` gets a child's name and what to tell of it:
    its end, and what it prints beside the routine. SIGINT, SIGTERM and SIGHUP set `ending`."""

    def __init__(self, logs: Path, say: Callable[[str, str], None]) -> None:
        self.ending = threading.Event()
        self._logs = logs
        self._say = say
        self._children: list[Child] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: self.ending.set())

    def add(self, name: str, command: Sequence[str]) -> None:
        """Start a process and keep it running. The first one added is the last to end."""
        child = Child(name, command, _open_log(self._logs / f"{name}.log"))
        self._children.append(child)
        self._start(child)

    def keep_running(self, until: Callable[[], bool] = lambda: False, *, every: float = 0.1) -> bool:
        """Start again what dies, until something is so. False when we are to end before."""
        while not self.ending.wait(every):
            for child in self._children:
                self._look_after(child)
            if until():
                return True
        return False

    def run(self, command: Sequence[str]) -> str | None:
        """Run a command to its end; what it printed, or None when we are to end before. Raises CommandFailed."""
        process = _spawn(command, stderr=subprocess.PIPE)
        outputs: list[bytes] = []
        reader = threading.Thread(target=lambda: outputs.extend(process.communicate()), daemon=True)
        reader.start()
        if not self.keep_running(lambda: not reader.is_alive(), every=0.02):
            process.terminate()
            _end_group(process, GRACE)
            return None
        printed, complaint = (output.decode(errors="replace").strip() for output in outputs)
        if process.returncode:
            raise CommandFailed(complaint.removeprefix("Error: ") or f"{' '.join(command)} failed.")
        return printed

    def stop(self) -> None:
        """End all children; the first one after the others, which are its clients."""
        for group, grace in ((self._children[1:], GRACE), (self._children[:1], LAST_GRACE)):
            running = [child.process for child in group if child.process is not None]
            for process in running:
                process.terminate()
            deadline = time.monotonic() + grace
            for process in running:
                _end_group(process, deadline - time.monotonic())

    def _start(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = _spawn(child.command, stderr=subprocess.STDOUT)
        threading.Thread(target=self._copy_output, args=(child, child.process.stdout), daemon=True).start()

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due:
                self._start(child)
            return
        if child.process.poll() is None:
            return
        _end_group(child.process, 0)
        settled = now - child.started > _SETTLED_AFTER
        child.delay = _FIRST_DELAY if settled else min(2 * child.delay, _LONGEST_DELAY)
        child.due = now + child.delay
        status = child.process.returncode
        how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"
        self._say(child.name, f"{how}; it starts again in {child.delay:.1f} s. Its log: {child.log.name}")
        child.process = None

    def _copy_output(self, child: Child, output: IO[bytes]) -> None:
        for line in output:
            child.log.write(line)
            text = line.decode(errors="replace").rstrip()
            if _is_worth_showing(text):
                self._say(child.name, text)


def _spawn(command: Sequence[str], *, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  the commands are ours
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """Linux ends the child in its own way when we are killed with no chance to tell it."""
    if sys.platform == "linux":
        _libc.prctl(_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """Wait for a process that was told to end; after that nothing of its group is left."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, grace))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _is_worth_showing(line: str) -> bool:
    """Everything but the routine that the processes log as JSON."""
    try:
        level = json.loads(line)["level"]
    except (ValueError, KeyError, TypeError):
        return bool(line)
    return level not in {"debug", "info"}


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab", buffering=0)
