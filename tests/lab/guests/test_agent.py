"""Programs and files inside a VM, through its guest agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.process import LabProcess, Session, running

_VM = "/nodes/n1/qemu/200"


@pytest.fixture(scope="module")
def demo() -> Iterator[LabProcess]:
    with running("demo") as lab:
        yield lab


@pytest.fixture
def root(demo: LabProcess) -> Session:
    demo.reset()
    root = demo.login()
    assert root.task("POST", "/nodes/n1/qemu/9000/clone", newid=200, name="inner") == "OK"
    assert root.task("POST", f"{_VM}/status/start") == "OK"
    return root


def _run(root: Session, *command: str, **more: Any) -> dict[str, Any]:
    pid = root.ok("POST", f"{_VM}/agent/exec", command=list(command), **more)["pid"]
    ended: dict[str, Any] = root.ok("GET", f"{_VM}/agent/exec-status", pid=pid)
    return ended


@pytest.mark.parametrize(
    ("command", "ended"),
    [
        (("hostname",), {"exitcode": 0, "out-data": "inner\n"}),
        (("/bin/echo", "two  words", "more"), {"exitcode": 0, "out-data": "two  words more\n"}),
        (("true",), {"exitcode": 0}),
        (("false",), {"exitcode": 1}),
        (("sh", "-c", "echo 'a b'"), {"exitcode": 0, "out-data": "a b\n"}),
        (("bash", "-c", "nope"), {"exitcode": 127, "err-data": "bash: 1: nope: not found\n"}),
        (("cat", "/etc/hostname"), {"exitcode": 0, "out-data": "inner\n"}),
        (("cat", "/x"), {"exitcode": 1, "err-data": "cat: /x: No such file or directory\n"}),
    ],
)
def test_a_program_tells_how_it_ended(root: Session, command: tuple[str, ...], ended: dict[str, Any]) -> None:
    assert _run(root, *command) == {"exited": 1} | ended


def test_a_program_reads_its_input(root: Session) -> None:
    assert _run(root, "cat", input__data="given")["out-data"] == "given"


def test_an_end_is_told_once(root: Session) -> None:
    pid = root.ok("POST", f"{_VM}/agent/exec", command="id")["pid"]
    assert root.ok("GET", f"{_VM}/agent/exec-status", pid=pid)["exitcode"] == 0
    gone = (500, "Agent error: Invalid parameter 'pid'")
    assert root.refused("GET", f"{_VM}/agent/exec-status", pid=pid) == gone
    pid = root.ok("POST", f"{_VM}/agent/exec", command="id")["pid"]
    assert root.task("POST", f"{_VM}/status/stop") == "OK"
    assert root.task("POST", f"{_VM}/status/start") == "OK"
    assert root.refused("GET", f"{_VM}/agent/exec-status", pid=pid) == gone


def test_a_program_that_is_not_there(root: Session) -> None:
    status, reason = root.refused("POST", f"{_VM}/agent/exec", command="nope")
    assert status == 500
    assert reason.startswith("Agent error: Guest agent command failed, error was 'Failed to execute child process")


def test_a_file_is_read_as_it_was_written(root: Session) -> None:
    missing = (500, "Agent error: failed to open file '/tmp/x': No such file or directory")
    assert root.refused("GET", f"{_VM}/agent/file-read", file="/tmp/x") == missing
    root.ok("POST", f"{_VM}/agent/file-write", file="/tmp/x", content="one")
    assert root.ok("GET", f"{_VM}/agent/file-read", file="/tmp/x") == {"content": "one"}
    root.ok("POST", f"{_VM}/agent/file-write", file="/tmp/x", content="dHdv", encode=0)
    assert _run(root, "cat", "/tmp/x")["out-data"] == "two"
    assert root.task("POST", f"{_VM}/status/stop") == "OK"
    assert root.task("DELETE", _VM) == "OK"
    assert root.task("POST", "/nodes/n1/qemu/9000/clone", newid=200) == "OK"
    assert root.task("POST", f"{_VM}/status/start") == "OK"
    assert root.refused("GET", f"{_VM}/agent/file-read", file="/tmp/x") == missing


def test_what_the_agent_cannot_do_is_refused_in_its_words(demo: LabProcess, root: Session) -> None:
    wrong = root.refused("POST", f"{_VM}/agent/file-write", file="/tmp/x", content="no!", encode=0)
    assert wrong == (500, "Agent error: Base64 data 'no!' is not valid")
    assert _run(root, "sh", "-c", "echo 'open")["exitcode"] == 2
    assert root.http.post(f"{demo.url}/api2/json{_VM}/agent/exec", json={"command": []}, timeout=10).status_code == 500
