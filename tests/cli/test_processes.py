"""Children that must run, started again and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from app.cli import processes
from app.cli.processes import CommandFailed, Processes

T = TypeVar("T")
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


class Told(list[tuple[str, str]]):
    def say(self, who: str, what: str) -> None:
        self.append((who, what))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def children(tmp_path: Path, told: Told) -> Iterator[Processes]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    found = Processes(tmp_path, told.say)
    yield found
    found.stop()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_killed_child_runs_again(children: Processes, told: Told, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    children.add("worker", _writes_pid(pids))
    first = _until(lambda: _pids(pids))[0]
    os.kill(first, signal.SIGKILL)
    assert _keep(children, lambda: len(_pids(pids)) == 2)
    assert told[0][0] == "worker"
    assert "SIGKILL" in told[0][1]


def test_a_child_that_dies_at_once_is_not_started_in_a_busy_loop(children: Processes, told: Told) -> None:
    children.add("web", [sys.executable, "-c", "raise SystemExit(3)"])
    _keep(children, lambda: False, seconds=3)
    ends = [what for _, what in told if "exit status 3" in what]
    assert 1 <= len(ends) <= 3


def test_nothing_of_a_dead_childs_group_stays(children: Processes, tmp_path: Path) -> None:
    """A process that gunicorn leaves behind would still hold the port."""
    pids = tmp_path / "pids"
    script = f"import subprocess, time; subprocess.Popen({_writes_pid(pids)!r}); time.sleep(60)"
    children.add("web", [sys.executable, "-c", script])
    left = _until(lambda: _pids(pids))[0]
    os.kill(os.getpgid(left), signal.SIGKILL)
    _keep(children, lambda: not _alive(left))
    assert not _alive(left)


def test_the_first_ends_after_the_others_and_a_deaf_one_is_killed(
    children: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 1.0)
    ends = tmp_path / "ends"
    ready = tmp_path / "ready"
    children.add("lab", _notes_its_end("lab", ends, ready))
    children.add("web", _notes_its_end("web", ends, ready))
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    children.add("worker", [sys.executable, "-c", deaf])
    _until(lambda: ready.exists() and len(ready.read_text().split()) == 2)
    _until(lambda: (tmp_path / "worker.log").read_text())
    began = time.monotonic()
    children.stop()
    assert ends.read_text().split() == ["web", "lab"]
    assert time.monotonic() - began < 5


def test_what_a_command_prints_and_why_it_failed(children: Processes) -> None:
    assert children.run([sys.executable, "-c", "print('made')"]) == "made"
    with pytest.raises(CommandFailed, match=r"^no such database$"):
        children.run([sys.executable, "-c", "raise SystemExit('Error: no such database')"])


def test_an_end_comes_at_once_while_a_command_runs(children: Processes) -> None:
    children.ending.set()
    assert children.run(SLEEPER) is None


def test_routine_goes_to_the_log_only(children: Processes, told: Told, tmp_path: Path) -> None:
    lines = ['{"level": "info", "event": "a"}', '{"level": "error", "event": "b"}', "Traceback"]
    children.add(
        "web", [sys.executable, "-c", f"print({chr(10).join(lines)!r}, flush=True); import time; time.sleep(60)"]
    )
    _until(lambda: len(told) == 2)
    assert [what for _, what in told] == lines[1:]
    assert (tmp_path / "web.log").read_text().splitlines() == lines


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_of_a_killed_parent_end(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "from pathlib import Path; from app.cli.processes import Processes\n"
        f"p = Processes(Path({str(tmp_path)!r}), print); p.add('lab', {_writes_pid(pids)!r}); p.keep_running()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    child = _until(lambda: _pids(pids))[0]
    parent.kill()
    parent.wait()
    _until(lambda: not _alive(child))


def _writes_pid(path: Path) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import os, time; open({str(path)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(60)",
    ]


def _notes_its_end(name: str, ends: Path, ready: Path) -> list[str]:
    script = (
        "import signal, sys, time\n"
        f"def end(*_): open({str(ends)!r}, 'a').write('{name} '); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, end); open({str(ready)!r}, 'a').write('{name} '); time.sleep(60)"
    )
    return [sys.executable, "-c", script]


def _pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _keep(children: Processes, until: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    children.keep_running(lambda: until() or time.monotonic() > deadline)
    return until()


def _until(value: Callable[[], T], seconds: float = 15) -> T:
    deadline = time.monotonic() + seconds
    while not (found := value()):
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.02)
    return found
