"""VNC consoles: a picture that reacts to keys and to the pointer, in the format that the viewer wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.lab.consoles.rfb import expected_response
from tests.lab.consoles.viewer import Closed, Viewer, connected
from tests.lab.process import LabProcess, Session

RETURN, BACKSPACE, CONTROL = 0xFF0D, 0xFF08, 0xFFE3


def look(
    lab: LabProcess, root: Session, path: str, do: Callable[[Viewer], Awaitable[Any]], **params: Any
) -> dict[str, Any]:
    """Open a VM's console, log in, and do something as its viewer; returns what vncproxy answered."""
    opened: dict[str, Any] = root.ok("POST", f"{path}/vncproxy", websocket=1, **params)

    async def session() -> None:
        async with connected(lab, root, path, opened) as line:
            viewer = Viewer(line)
            assert await viewer.log_in(opened.get("password", opened["ticket"])) == "QEMU (web)"
            await do(viewer)

    asyncio.run(session())
    return opened


async def first_picture(viewer: Viewer) -> bytes:
    await viewer.ask(incremental=0)
    assert await viewer.update() == 25
    return bytes(viewer.picture)


def test_the_challenge_is_answered_as_other_viewers_do() -> None:
    """DES of zeros with the key 01..08 mirrored, from `openssl enc -des-ecb -K 8040c020a060e010`."""
    key = "".join(map(chr, range(1, 9)))
    assert expected_response(key, bytes(16)).hex() == "61c93a6c12501a94" * 2


def test_a_key_changes_only_the_line_that_it_is_typed_on(lab: LabProcess, root: Session, vm: str) -> None:
    async def do(viewer: Viewer) -> None:
        before = await first_picture(viewer)
        assert set(before[0::4]) == {0, 170}
        await viewer.ask(incremental=1)
        await viewer.type("x")
        assert await viewer.update() == 1
        changed = {
            at // (viewer.width * 4) for at, (a, b) in enumerate(zip(before, viewer.picture, strict=True)) if a != b
        }
        assert changed <= set(range(22, 33)), "the prompt is on the third line"
        assert changed

    look(lab, root, vm, do)


def test_backspace_brings_the_old_picture_back(lab: LabProcess, root: Session, vm: str) -> None:
    async def do(viewer: Viewer) -> None:
        before = await first_picture(viewer)
        await viewer.type("ab")
        await viewer.press(BACKSPACE)
        await viewer.press(CONTROL, ord("u"))
        await viewer.line.send(b"")
        assert await first_picture(viewer) == before

    look(lab, root, vm, do)


def test_nothing_is_sent_while_nothing_changes(lab: LabProcess, root: Session, vm: str) -> None:
    async def do(viewer: Viewer) -> None:
        await first_picture(viewer)
        await viewer.ask(incremental=1)
        await viewer.ask(incremental=0)
        assert await viewer.update() == 25, "the answer to the second request is that to both"
        await viewer.ask(incremental=1)
        await viewer.point(3, 5)
        assert await viewer.update() == 1

    look(lab, root, vm, do)


def test_the_pointer_turns_what_it_is_on(lab: LabProcess, root: Session, vm: str) -> None:
    async def do(viewer: Viewer) -> None:
        await first_picture(viewer)
        assert viewer.pixel(470, 270) == 0
        await viewer.point(470, 270)
        await first_picture(viewer)
        assert viewer.pixel(470, 270) == 0xAAAAAA
        await viewer.point(65535, 65535)
        await first_picture(viewer)
        assert viewer.pixel(470, 270) == 0

    look(lab, root, vm, do)


@pytest.mark.parametrize(
    ("bits", "big", "most", "shifts", "light"),
    [
        (32, 1, (255, 255, 255), (0, 8, 16), 0xAAAAAA00),
        (16, 0, (31, 63, 31), (11, 5, 0), 21 << 11 | 42 << 5 | 21),
        (8, 0, (7, 7, 3), (0, 3, 6), 5 | 5 << 3 | 2 << 6),
        (8, 0, (0, 0, 0), (0, 0, 0), 1),
    ],
)
def test_pixels_come_in_the_format_that_the_viewer_wants(
    lab: LabProcess,
    root: Session,
    vm: str,
    bits: int,
    big: int,
    most: tuple[int, int, int],
    shifts: tuple[int, int, int],
    light: int,
) -> None:
    async def do(viewer: Viewer) -> None:
        await viewer.choose(bits, big=big, most=most, shifts=shifts)
        await first_picture(viewer)
        size = bits // 8
        pixels = {
            int.from_bytes(viewer.picture[at : at + size], "little") for at in range(0, len(viewer.picture), size)
        }
        assert pixels == {0, light}
        if not any(most):
            assert viewer.colours == [(0, 0, 0), (170 * 257,) * 3]

    look(lab, root, vm, do)


def test_a_generated_password_is_asked_for_and_the_ticket_is_none(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1, generate__password=1)

    async def session() -> None:
        async with connected(lab, root, vm, opened) as line:
            viewer = Viewer(line)
            await viewer.greet()
            assert await viewer.authenticate(opened["ticket"]) == 1
            assert b"Authentication failed" in await line.exactly(4 + 21)
            with pytest.raises(Closed):
                await line.exactly(1)

    asyncio.run(session())
    assert root.wait(opened["upid"]) == "OK"
    look(lab, root, vm, first_picture, generate__password=1)


def test_what_one_viewer_types_the_other_sees_until_the_vm_stops(lab: LabProcess, root: Session, vm: str) -> None:
    async def typing(viewer: Viewer) -> None:
        await viewer.type("echo hello\n")
        await first_picture(viewer)
        seen.append(bytes(viewer.picture))

    async def looking(viewer: Viewer) -> None:
        seen.append(await first_picture(viewer))

    seen: list[bytes] = []
    look(lab, root, vm, looking)
    look(lab, root, vm, typing)
    look(lab, root, vm, looking)
    assert root.task("POST", f"{vm}/status/stop") == "OK"
    assert root.task("POST", f"{vm}/status/start") == "OK"
    look(lab, root, vm, looking)
    assert seen[1] == seen[2] != seen[0] == seen[3]


def test_the_shell_of_a_node_can_be_looked_at_too(lab: LabProcess, root: Session) -> None:
    opened = root.ok("POST", "/nodes/n1/vncshell", websocket=1)

    async def session() -> None:
        async with connected(lab, root, "/nodes/n1", opened) as line:
            viewer = Viewer(line)
            assert await viewer.log_in(opened["ticket"]) == "n1"
            await first_picture(viewer)

    asyncio.run(session())
    assert root.wait(opened["upid"]) == "OK"
