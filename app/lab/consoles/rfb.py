"""An RFB 3.8 server (RFC 6143) for one viewer of a text screen: VNC authentication, raw encoding."""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from app.lab.consoles.keys import Keyboard
from app.lab.consoles.picture import CELL_HEIGHT, CELL_WIDTH, COLOURS, BadFormat, Painter, PixelFormat
from app.lab.consoles.screen import COLUMNS, ROWS, Screen
from app.lab.consoles.wire import Hangup, Wire

WIDTH, HEIGHT = COLUMNS * CELL_WIDTH, ROWS * CELL_HEIGHT
_GREETING = b"RFB 003.008\n"
_VNC_AUTHENTICATION, _RAW = 2, 0
_HANDSHAKE_SECONDS = 10.0
_MOST_CUT_TEXT = 1 << 20
"""Bytes of a client's clipboard; QEMU ends the connection above that."""
_PAUSE = 0.03
"""Seconds between two updates, so that a greedy viewer does not keep the lab from its work."""


def expected_response(password: str, challenge: bytes) -> bytes:
    """What a viewer that knows the password makes of the challenge (RFC 6143, section 7.2.2).

    DES with the first eight characters as the key, the bits of each in reverse.
    """
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 -- the protocol has no other
    return encryptor.update(challenge) + encryptor.finalize()


async def serve(wire: Wire, screen: Screen, password: str, name: str, typed: Callable[[bytes], None]) -> None:
    """Show the screen and hand on what is typed until the viewer goes. Raises Hangup."""
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            await _shake_hands(wire, password)
            await wire.exactly(1)
    except TimeoutError:
        raise Hangup from None
    title = name.encode()
    size = struct.pack(">HH", WIDTH, HEIGHT)
    await wire.send(size + PixelFormat().packed() + struct.pack(">I", len(title)) + title)
    with screen.watched() as changed:
        viewer = _Viewer(wire, screen, changed, typed)
        sending = asyncio.create_task(viewer.show())
        try:
            await viewer.listen()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Hangup):
                await sending


async def _shake_hands(wire: Wire, password: str) -> None:
    await wire.send(_GREETING)
    if await wire.exactly(len(_GREETING)) != _GREETING:
        raise Hangup
    await wire.send(bytes([1, _VNC_AUTHENTICATION]))
    if await wire.exactly(1) != bytes([_VNC_AUTHENTICATION]):
        await _refuse(wire, "Invalid security type")
    challenge = secrets.token_bytes(16)
    await wire.send(challenge)
    response = await wire.exactly(len(challenge))
    if not secrets.compare_digest(response, expected_response(password, challenge)):
        await _refuse(wire, "Authentication failed")
    await wire.send(struct.pack(">I", 0))


async def _refuse(wire: Wire, reason: str) -> None:
    await wire.send(struct.pack(">II", 1, len(reason)) + reason.encode())
    raise Hangup


class _Viewer:
    """What one viewer has asked for and been shown."""

    def __init__(self, wire: Wire, screen: Screen, changed: asyncio.Event, typed: Callable[[bytes], None]) -> None:
        self._wire, self._screen, self._changed, self._typed = wire, screen, changed, typed
        self._keyboard = Keyboard()
        self._form = PixelFormat()
        self._painter = Painter(self._form)
        self._map_due = False
        self._shown = [0] * ROWS
        """The version of each row that the viewer has."""
        self._wanted: range | None = None
        """The rows that the viewer waits to hear of."""
        self._at_once = False
        """It wants an answer even if nothing has changed."""

    async def listen(self) -> None:
        """Take the viewer's messages (RFC 6143, section 7.5). Raises Hangup."""
        while True:
            match (await self._wire.exactly(1))[0]:
                case 0:
                    await self._set_format()
                case 2:
                    (count,) = struct.unpack(">xH", await self._wire.exactly(3))
                    # Raw is the one encoding that every viewer takes.
                    await self._wire.exactly(4 * count)
                case 3:
                    self._ask(*struct.unpack(">BHHHH", await self._wire.exactly(9)))
                case 4:
                    down, keysym = struct.unpack(">BxxI", await self._wire.exactly(7))
                    self._typed(self._keyboard.press(keysym, bool(down)))
                case 5:
                    x, y = struct.unpack(">xHH", await self._wire.exactly(5))
                    self._screen.point(y // CELL_HEIGHT, x // CELL_WIDTH)
                case 6:
                    await self._skip_cut_text()
                case _:
                    raise Hangup

    async def _set_format(self) -> None:
        try:
            form = PixelFormat.parse((await self._wire.exactly(19))[3:])
        except BadFormat:
            raise Hangup from None
        self._form, self._painter, self._map_due = form, Painter(form), not form.true_colour
        self._shown = [0] * ROWS

    async def _skip_cut_text(self) -> None:
        (length,) = struct.unpack(">3xI", await self._wire.exactly(7))
        if length > _MOST_CUT_TEXT:
            raise Hangup
        await self._wire.exactly(length)

    def _ask(self, incremental: int, x: int, y: int, width: int, height: int) -> None:
        rows = range(min(y // CELL_HEIGHT, ROWS), min(-(-(y + height) // CELL_HEIGHT), ROWS))
        before = self._wanted
        # Two requests before an answer are one for all that lies between.
        self._wanted = range(min(before.start, rows.start), max(before.stop, rows.stop)) if before else rows
        if not incremental:
            for row in rows:
                self._shown[row] = 0
            self._at_once = True
        self._changed.set()

    async def show(self) -> None:
        """Answer requests as soon as there is something to show. Raises Hangup."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._wanted is None:
                continue
            stale = [row for row in self._wanted if self._shown[row] != self._screen.versions[row]]
            if stale or self._at_once:
                self._wanted, self._at_once = None, False
                await self._wire.send(self._update(stale))
                await asyncio.sleep(_PAUSE)

    def _update(self, rows: list[int]) -> bytes:
        parts = [self._colour_map()] if self._map_due else []
        parts.append(struct.pack(">BxH", 0, len(rows)))
        for row in rows:
            self._shown[row] = self._screen.versions[row]
            parts.append(struct.pack(">HHHHi", 0, row * CELL_HEIGHT, WIDTH, CELL_HEIGHT, _RAW))
            parts.append(self._painter.row(self._screen.lines[row], self._screen.turned(row)))
        return b"".join(parts)

    def _colour_map(self) -> bytes:
        self._map_due = False
        return struct.pack(">BxHH", 1, 0, len(COLOURS)) + b"".join(
            struct.pack(">3H", *(part * 257 for part in colour)) for colour in COLOURS
        )
