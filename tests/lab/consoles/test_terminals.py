"""Terminals through PVE's termproxy protocol: a small shell that echoes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.lab.consoles.shell import Shell
from tests.lab.consoles.viewer import Line, connected
from tests.lab.process import LabProcess, Session

PROMPT = "root@box:~# "


def frame(keys: str) -> bytes:
    data = keys.encode()
    return b"0:%d:%b" % (len(data), data)


async def log_in(line: Line, opened: dict[str, Any]) -> None:
    await line.send(f"{opened['user']}:{opened['ticket']}\n".encode())
    assert await line.exactly(2) == b"OK"


def use(
    lab: LabProcess, session: Session, path: str, do: Callable[[Line], Awaitable[Any]], **params: Any
) -> dict[str, Any]:
    """Open a terminal, log in, and do something in it; returns what termproxy answered."""
    opened: dict[str, Any] = session.ok("POST", f"{path}/termproxy", **params)

    async def visit() -> None:
        async with connected(lab, session, path, opened) as line:
            await log_in(line, opened)
            await do(line)

    asyncio.run(visit())
    return opened


def test_the_shell_of_a_container_echoes_and_answers(lab: LabProcess, root: Session, ct: str) -> None:
    async def do(line: Line) -> None:
        assert await line.until(PROMPT) == PROMPT
        await line.send(frame("hostname\r"))
        assert await line.until(PROMPT) == f"hostname\r\nbox\r\n{PROMPT}"
        await line.send(frame("echo grüße"))
        assert await line.until("grüße") == "echo grüße"
        await line.send(b"1:132:43:" + b"2" + frame("\r"))
        assert await line.until(PROMPT) == f"\r\ngrüße\r\n{PROMPT}"
        await line.send(frame("exit\r"))
        assert await line.until("logout\r\n")
        assert await line.closed()

    opened = use(lab, root, ct, do)
    assert root.wait(opened["upid"]) == "OK"


def test_frames_may_come_in_any_pieces(lab: LabProcess, root: Session, ct: str) -> None:
    async def do(line: Line) -> None:
        await line.until(PROMPT)
        for byte in frame("echo é\r") + b"1:80:24:" + frame("whoami\r"):
            await line.send(bytes([byte]))
        assert (await line.until(f"root\r\n{PROMPT}")).startswith("echo é\r\né\r\n")

    use(lab, root, ct, do)


def test_text_messages_are_taken_like_binary_ones(lab: LabProcess, root: Session, ct: str) -> None:
    async def do(line: Line) -> None:
        await line.until(PROMPT)
        await line.socket.send_str("0:3:pwd")
        await line.socket.send_str("0:1:\r")
        assert await line.until(PROMPT) == f"pwd\r\n/root\r\n{PROMPT}"

    use(lab, root, ct, do)


def test_a_vm_is_reached_through_its_serial_port(lab: LabProcess, root: Session, vm: str) -> None:
    async def do(line: Line) -> None:
        assert await line.until("# ") == "starting serial terminal on interface serial0\r\nroot@web:~# "

    use(lab, root, vm, do)


def test_without_a_serial_port_or_a_running_guest_the_terminal_says_so(lab: LabProcess, root: Session, vm: str) -> None:
    async def missing(line: Line) -> None:
        assert await line.until("\n") == "unable to find a serial interface 'serial1'\r\n"
        assert await line.closed()

    async def stopped(line: Line) -> None:
        assert await line.until("\n") == "VM 100 not running\r\n"
        assert await line.closed()

    use(lab, root, vm, missing, serial="serial1")
    assert root.task("POST", f"{vm}/status/stop") == "OK"
    use(lab, root, vm, stopped)


def test_a_node_has_a_terminal_too(lab: LabProcess, root: Session) -> None:
    async def do(line: Line) -> None:
        await line.until("root@n2:~# ")
        await line.send(frame("uname -a\r"))
        assert "Linux n2 " in await line.until("GNU/Linux\r\n")
        await line.send(frame("\x04"))
        assert await line.closed()

    opened = use(lab, root, "/nodes/n2", do)
    assert ":vncshell::root@pam:" in opened["upid"]
    assert root.wait(opened["upid"]) == "OK"


def test_a_wrong_ticket_inside_ends_the_connection_and_fails_the_task(lab: LabProcess, root: Session, ct: str) -> None:
    opened = root.ok("POST", f"{ct}/termproxy")

    async def visit() -> None:
        async with connected(lab, root, ct, opened) as line:
            await line.send(f"root@pam:{opened['ticket']}x\n".encode())
            assert await line.closed()

    asyncio.run(visit())
    assert root.wait(opened["upid"]).endswith("failed: exit code 1")


def test_a_token_uses_its_own_console(lab: LabProcess, root: Session, ct: str) -> None:
    secret = root.ok("POST", "/access/users/root@pam/token/tt", privsep=0)["value"]
    token = lab.token("root@pam!tt", secret)

    async def do(line: Line) -> None:
        await line.until(PROMPT)

    assert use(lab, token, ct, do)["user"] == "root@pam!tt"


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ("ab\x7fc\r", "ab\b \bc\r\n-bash: ac: command not found\r\n$"),
        ("\x7f", ""),
        ("sleep 9\x03", "sleep 9^C\r\n$"),
        ("x\x04", "x\a"),
        ("one\x15id\r", "one\b \b\b \b\b \bid\r\nuid=0(root) gid=0(root) groups=0(root)\r\n$"),
        ("\x1b[A\x1bOP\x1b[3~x", "x"),
        ("ls\r", "ls\r\n$"),
        ("ls /nowhere\r", "ls /nowhere\r\nls: cannot access '/nowhere': No such file or directory\r\n$"),
        ("date\r", "date\r\nFri Jan  2 00:00:00 UTC 1970\r\n$"),
        ("uptime\r", "uptime\r\n 00:00:00 up 1 day, 2:05,  1 user,  load average: 0.00, 0.00, 0.00\r\n$"),
        ("x\x0c", "x\x1b[H\x1b[2J$x"),
        ("\r\r", "\r\n$\r\n$"),
        ("\x04ignored", "logout\r\n"),
    ],
)
def test_keys_of_the_shell(keys: str, shown: str) -> None:
    shell = Shell("box", uptime=lambda: 93_900.0, now=lambda: 86_400.0)
    assert shell.feed(keys.encode()) == shown.replace("$", shell.prompt)


def test_a_line_that_never_ends_is_cut() -> None:
    shell = Shell("box", uptime=lambda: 0.0, now=lambda: 0.0)
    assert len(shell.feed(b"y" * 10_000).rstrip("\a")) == 4096
