"""The bytes inside a websocket: PVE's proxies care for neither its messages nor their kind."""

import asyncio
from typing import Protocol

from aiohttp import WSMsgType, web

MOST_MESSAGE = 128 * 1024
"""Bytes of one message, as in pveproxy; a longer one ends the connection."""


class Hangup(Exception):
    """The connection ends: the other side went away, or broke the protocol."""


class Wire(Protocol):
    """A stream of bytes to and from a client."""

    async def some(self) -> bytes:
        """What comes next, never nothing. Raises Hangup."""

    async def exactly(self, count: int) -> bytes:
        """So many bytes. Raises Hangup."""

    async def until(self, end: bytes, most: int) -> bytes:
        """Everything before `end`, which is taken too. Raises Hangup after `most` bytes without it."""

    async def send(self, data: bytes) -> None:
        """Send, and wait while the client is slow. Raises Hangup."""


class SocketWire:
    """A websocket as a Wire."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._kept = bytearray()

    async def _more(self) -> None:
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY:
            self._kept += message.data
        elif message.type is WSMsgType.TEXT:
            self._kept += message.data.encode()
        else:
            raise Hangup

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._kept[:count])
        del self._kept[:count]
        return taken

    async def some(self) -> bytes:
        while not self._kept:
            await self._more()
        return self._taken(len(self._kept))

    async def exactly(self, count: int) -> bytes:
        while len(self._kept) < count:
            await self._more()
        return self._taken(count)

    async def until(self, end: bytes, most: int) -> bytes:
        while (at := self._kept.find(end)) < 0:
            if len(self._kept) > most:
                raise Hangup
            await self._more()
        if at > most:
            raise Hangup
        return self._taken(at + len(end))[: -len(end)]

    async def send(self, data: bytes) -> None:
        try:
            await self._socket.send_bytes(data)
        except (ConnectionError, RuntimeError, asyncio.InvalidStateError):
            raise Hangup from None
