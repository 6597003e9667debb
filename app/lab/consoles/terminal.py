"""PVE's termproxy protocol: a line with user and ticket, `OK`, then frames in and plain bytes out.

In: `0:LENGTH:DATA` (length in bytes), `1:COLUMNS:ROWS:`, `2` for "I am still here".
"""

import asyncio
from collections.abc import Callable

from app.lab.consoles.shell import Shell
from app.lab.consoles.wire import Hangup, Wire

_LOGIN_SECONDS = 10.0
_LONGEST_LOGIN = 1024
_LONGEST_NUMBER = 8
_MOST_DATA = 128 * 1024


async def log_in(wire: Wire, may: Callable[[str, str], bool]) -> None:
    """Take the first line and answer it; `may` judges user and ticket. Raises Hangup."""
    try:
        async with asyncio.timeout(_LOGIN_SECONDS):
            line = (await wire.until(b"\n", _LONGEST_LOGIN)).decode(errors="replace")
    except TimeoutError:
        raise Hangup from None
    user, _, ticket = line.partition(":")
    if not may(user, ticket):
        raise Hangup
    await wire.send(b"OK")


async def serve(wire: Wire, shell: Shell) -> None:
    """Let the client use the shell until either ends. Raises Hangup."""
    await wire.send(shell.prompt.encode())
    while not shell.over:
        if shown := shell.feed(await _typed(wire)):
            await wire.send(shown.encode())


async def _typed(wire: Wire) -> bytes:
    """The data of the next frame, none for frames without. Raises Hangup on what is no frame."""
    match await wire.exactly(1):
        case b"0":
            await _colon(wire)
            return await wire.exactly(await _number(wire, _MOST_DATA))
        case b"1":
            await _colon(wire)
            await _number(wire, 0xFFFF)
            await _number(wire, 0xFFFF)
        case b"2":
            pass
        case _:
            raise Hangup
    return b""


async def _colon(wire: Wire) -> None:
    if await wire.exactly(1) != b":":
        raise Hangup


async def _number(wire: Wire, most: int) -> int:
    digits = await wire.until(b":", _LONGEST_NUMBER)
    if not digits.isdigit() or int(digits) > most:
        raise Hangup
    return int(digits)
