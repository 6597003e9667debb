"""What a console gets from those who mean no good: the connection ends, the lab goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import Any

import pytest

from tests.lab.consoles.viewer import SECONDS, Closed, Line, Viewer, connected
from tests.lab.process import LabProcess, Session

VERSION = b"RFB 003.008\n"
FAULTY_GREETINGS = {
    "an old version": b"RFB 003.003\n",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "another security type": VERSION + b"\x01",
    "a wrong response": VERSION + b"\x02" + bytes(16),
}
FAULTY_MESSAGES = {
    "an unknown kind": b"\xfa" * 40,
    "a text of 4 GB": struct.pack(">B3xI", 6, 0xFFFFFFFF),
    "a text of a little too much": struct.pack(">B3xI", 6, (1 << 20) + 1),
    "pixels of 24 bits": struct.pack(">BxxxBBBB3H3Bxxx", 0, 24, 24, 0, 1, 255, 255, 255, 16, 8, 0),
    "pixels of 0 bits": struct.pack(">BxxxBBBB3H3Bxxx", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "colours wider than their pixels": struct.pack(">BxxxBBBB3H3Bxxx", 0, 8, 8, 0, 1, 255, 255, 255, 250, 8, 0),
    "colours of no depth": struct.pack(">BxxxBBBB3H3Bxxx", 0, 32, 24, 0, 1, 255, 0, 255, 16, 8, 0),
}
FAULTY_FRAMES = {
    "an unknown kind": b"9:1:x",
    "no colon": b"0;1:x",
    "a length that is no number": b"0:-1:x",
    "a length in other digits": "0:٣:x".encode(),
    "a length of 4 GB": b"0:4294967296:x",
    "a length without end": b"0:" + b"1" * 100,
    "a size that is too large": b"1:99999:1:",
}


@pytest.fixture
def unchanged(lab: LabProcess, root: Session, vm: str, ct: str) -> Any:
    """At the end the lab answers, and its world is what it was but for the tasks."""

    def world() -> dict[str, Any]:
        passing = ("tasks", "next_pid", "clock_offset")
        return {name: part for name, part in lab.control("GET", "state").items() if name not in passing}

    before = world()
    yield
    assert root.ok("GET", "/version")["version"]
    assert world() == before


def ended(lab: LabProcess, root: Session, path: str, call: str, said: bytes, *, inside: bool = True) -> str:
    """Send bytes into a console whose connection the lab must then end; returns how its task ended."""
    opened = root.ok("POST", f"{path}/{call}")

    async def visit() -> None:
        async with connected(lab, root, path, opened) as line:
            if inside:
                await enter(line, opened)
            await line.send(said)
            assert await line.closed()

    asyncio.run(visit())
    return root.wait(opened["upid"])


async def enter(line: Line, opened: dict[str, Any]) -> None:
    if "cert" in opened:
        await Viewer(line).log_in(opened["ticket"])
    else:
        await line.send(f"{opened['user']}:{opened['ticket']}\n".encode())
        assert await line.exactly(2) == b"OK"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("fault", FAULTY_GREETINGS)
def test_a_faulty_greeting_ends_a_picture(lab: LabProcess, root: Session, vm: str, fault: str) -> None:
    assert ended(lab, root, vm, "vncproxy", FAULTY_GREETINGS[fault], inside=False) == "OK"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("fault", FAULTY_MESSAGES)
def test_a_faulty_message_ends_a_picture(lab: LabProcess, root: Session, vm: str, fault: str) -> None:
    assert ended(lab, root, vm, "vncproxy", FAULTY_MESSAGES[fault]) == "OK"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("fault", FAULTY_FRAMES)
def test_a_faulty_frame_ends_a_terminal(lab: LabProcess, root: Session, ct: str, fault: str) -> None:
    assert ended(lab, root, ct, "termproxy", FAULTY_FRAMES[fault]) == "OK"


@pytest.mark.usefixtures("unchanged")
def test_a_log_in_without_end_ends_a_terminal(lab: LabProcess, root: Session, ct: str) -> None:
    assert ended(lab, root, ct, "termproxy", b"a" * 2000, inside=False).endswith("exit code 1")


@pytest.mark.usefixtures("unchanged")
def test_a_message_of_a_megabyte_ends_the_connection(lab: LabProcess, root: Session, ct: str) -> None:
    assert ended(lab, root, ct, "termproxy", b"2" * (1 << 20)) == "OK"


@pytest.mark.usefixtures("unchanged")
def test_65535_encodings_and_texts_are_taken(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy")

    async def visit() -> None:
        async with connected(lab, root, vm, opened) as line:
            viewer = Viewer(line)
            await viewer.log_in(opened["ticket"])
            await line.send(struct.pack(">BxH", 2, 65535))
            for _ in range(5):
                await line.send(bytes(4 * 13107))
            await line.send(struct.pack(">B3xI", 6, 100_000) + b"t" * 100_000)
            await line.send(struct.pack(">BBHHHH", 3, 0, 65535, 65535, 65535, 65535))
            assert await viewer.update() == 0
            await viewer.ask(incremental=0)
            assert await viewer.update() == 25

    asyncio.run(visit())
    assert root.wait(opened["upid"]) == "OK"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("seed", range(4))
def test_noise_is_survived(lab: LabProcess, root: Session, vm: str, ct: str, seed: int) -> None:
    noise = random.Random(seed)

    async def visit(path: str, opened: dict[str, Any]) -> None:
        async with connected(lab, root, path, opened) as line:
            if seed % 2:
                await enter(line, opened)
            for _ in range(20):
                with contextlib.suppress(ConnectionError):
                    await line.send(noise.randbytes(noise.randrange(300)))

    for path, call in ((vm, "vncproxy"), (ct, "termproxy")):
        opened = root.ok("POST", f"{path}/{call}")
        asyncio.run(visit(path, opened))
        root.wait(opened["upid"])


@pytest.mark.usefixtures("unchanged")
def test_one_who_never_reads_keeps_nobody_from_work(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy")

    async def visit() -> None:
        async with connected(lab, root, vm, opened) as line:
            await Viewer(line).log_in(opened["ticket"])
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    for _ in range(200):
                        await line.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 480, 275) * 10)
                        await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.to_thread(root.ok, "GET", "/version")

    asyncio.run(visit())
    assert root.wait(opened["upid"]) == "OK"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.slow
def test_a_handshake_that_is_not_finished_ends_after_ten_seconds(lab: LabProcess, root: Session, vm: str) -> None:
    async def visit(call: str, said: bytes) -> str:
        return await asyncio.to_thread(ended, lab, root, vm, call, said, inside=False)

    async def both() -> list[str]:
        return await asyncio.gather(visit("vncproxy", b"RFB"), visit("termproxy", b"root@pam"))

    picture, terminal = asyncio.run(both())
    assert picture == "OK"
    assert terminal.endswith("exit code 1")


@pytest.mark.usefixtures("unchanged")
def test_a_client_that_vanishes_frees_its_port(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy")

    async def visit() -> None:
        async with connected(lab, root, vm, opened) as line:
            await Viewer(line).greet()
            line.socket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            with pytest.raises(Closed):
                await asyncio.wait_for(line.exactly(1000), SECONDS)

    asyncio.run(visit())
    assert root.wait(opened["upid"]) == "OK"
    assert root.ok("POST", f"{vm}/vncproxy")["port"] == opened["port"]
