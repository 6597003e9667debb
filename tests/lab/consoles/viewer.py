"""Clients of consoles for tests: a websocket as bytes, and just enough of a VNC viewer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from tests.lab.process import LabProcess, Session

SECONDS = 20.0
"""After which a console that says nothing fails its test."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Closed(Exception):
    """The lab has ended the connection."""


class Line:
    """The bytes of a console's websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._kept = b""

    async def _more(self) -> None:
        message = await self.socket.receive(SECONDS)
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise Closed
        self._kept += message.data

    async def exactly(self, count: int) -> bytes:
        while len(self._kept) < count:
            await self._more()
        taken, self._kept = self._kept[:count], self._kept[count:]
        return taken

    async def until(self, end: str) -> str:
        """What is shown up to and with `end`."""
        while (at := self._kept.find(end.encode())) < 0:
            await self._more()
        at += len(end.encode())
        taken, self._kept = self._kept[:at], self._kept[at:]
        return taken.decode()

    async def send(self, data: bytes) -> None:
        await self.socket.send_bytes(data)

    async def closed(self) -> bool:
        """Wait for the lab to end the connection; what it still says is dropped."""
        with contextlib.suppress(Closed):
            while True:
                await self._more()
        return True


def headers_of(session: Session) -> dict[str, str]:
    """The credentials of a session."""
    names = ("Cookie", "Authorization")
    return {name: str(session.http.headers[name]) for name in names if name in session.http.headers}


@contextlib.asynccontextmanager
async def connected(
    lab: LabProcess,
    session: Session,
    path: str,
    opened: Mapping[str, Any],
    protocols: tuple[str, ...] = ("binary",),
) -> AsyncIterator[Line]:
    """The websocket of a console that was opened. Raises aiohttp.WSServerHandshakeError, or another ClientError."""
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    url = f"{lab.url}/api2/json{path}/vncwebsocket"
    query = {"port": str(opened["port"]), "vncticket": str(opened["ticket"])}
    async with (
        asyncio.timeout(SECONDS),
        aiohttp.ClientSession(headers=headers_of(session)) as http,
        http.ws_connect(url, params=query, ssl=context, protocols=protocols) as socket,
    ):
        yield Line(socket)


class Viewer:
    """A VNC viewer that keeps the picture as it was sent, `bits` per pixel."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.width = self.height = 0
        self.bits = 32
        self.picture = bytearray()
        self.colours: list[tuple[int, int, int]] = []

    async def greet(self) -> None:
        assert await self.line.exactly(12) == b"RFB 003.008\n"
        await self.line.send(b"RFB 003.008\n")
        count = (await self.line.exactly(1))[0]
        assert await self.line.exactly(count) == b"\x02"

    async def authenticate(self, password: str) -> int:
        """The result of security type 2: 0, or 1 with a reason."""
        await self.line.send(b"\x02")
        challenge = await self.line.exactly(16)
        key = password.encode()[:8].ljust(8, b"\0").translate(_MIRRORED)
        await self.line.send(Cipher(TripleDES(key * 3), modes.ECB()).encryptor().update(challenge))
        (result,) = struct.unpack(">I", await self.line.exactly(4))
        return int(result)

    async def log_in(self, password: str) -> str:
        """All up to the first picture; returns the desktop's name."""
        await self.greet()
        assert await self.authenticate(password) == 0
        await self.line.send(b"\x01")
        self.width, self.height = struct.unpack(">HH", await self.line.exactly(4))
        await self.line.exactly(16)
        (length,) = struct.unpack(">I", await self.line.exactly(4))
        name = (await self.line.exactly(length)).decode()
        self.picture = bytearray(self.width * self.height * 4)
        return name

    async def choose(
        self, bits: int, *, big: int = 0, most: tuple[int, int, int], shifts: tuple[int, int, int]
    ) -> None:
        """SetPixelFormat; all maxima 0 mean a colour map."""
        true = int(any(most))
        await self.line.send(struct.pack(">BxxxBBBB3H3Bxxx", 0, bits, bits, big, true, *most, *shifts))
        self.bits = bits
        self.picture = bytearray(self.width * self.height * bits // 8)

    async def ask(self, *, incremental: int) -> None:
        await self.line.send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    async def update(self) -> int:
        """Take one update; returns how many rectangles it had."""
        kind = (await self.line.exactly(1))[0]
        while kind == 1:
            (count,) = struct.unpack(">xHH", await self.line.exactly(5))[1:]
            self.colours = [struct.unpack(">3H", await self.line.exactly(6)) for _ in range(count)]
            kind = (await self.line.exactly(1))[0]
        assert kind == 0
        (rectangles,) = struct.unpack(">xH", await self.line.exactly(3))
        for _ in range(rectangles):
            await self._take_rectangle()
        return int(rectangles)

    async def _take_rectangle(self) -> None:
        x, y, width, height, encoding = struct.unpack(">HHHHi", await self.line.exactly(12))
        assert encoding == 0
        size = self.bits // 8
        data = await self.line.exactly(width * height * size)
        for row in range(height):
            at = ((y + row) * self.width + x) * size
            self.picture[at : at + width * size] = data[row * width * size : (row + 1) * width * size]

    async def press(self, *keysyms: int) -> None:
        """Press keys together, let them go in reverse."""
        for down, order in ((1, keysyms), (0, keysyms[::-1])):
            for keysym in order:
                await self.line.send(struct.pack(">BBxxI", 4, down, keysym))

    async def type(self, text: str) -> None:
        for char in text:
            await self.press(0xFF0D if char == "\n" else ord(char))

    async def point(self, x: int, y: int) -> None:
        await self.line.send(struct.pack(">BBHH", 5, 0, x, y))

    def pixel(self, x: int, y: int) -> int:
        size = self.bits // 8
        at = (y * self.width + x) * size
        return int.from_bytes(self.picture[at : at + size], "little")
