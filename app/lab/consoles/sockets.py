"""The websockets of consoles: upgraded as pveproxy does it, then joined to a proxy."""

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass

from aiohttp import web

from app.lab.bodies import Unreadable
from app.lab.call import Reply, TaskFailed
from app.lab.consoles import proxies
from app.lab.consoles.proxies import Proxy
from app.lab.consoles.wire import MOST_MESSAGE, Hangup, SocketWire
from app.lab.state import World

_CLOSING_SECONDS = 1.0
_log = logging.getLogger(__name__)


class NobodyListens(Exception):
    """No proxy waits on the port; pveproxy then drops the client without an answer."""


@dataclass(frozen=True)
class Opening(Reply):
    """The answer of `vncwebsocket`, and the ACL path whose console a websocket may see."""

    path: str = ""


class ConsoleSocket(web.WebSocketResponse):
    """A websocket that belongs to a proxy; the answer to the request that wants it."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(protocols=("binary",), timeout=_CLOSING_SECONDS, max_msg_size=MOST_MESSAGE, compress=False)
        self._proxy = proxy

    async def talk(self, request: web.BaseRequest) -> None:
        """Answer the request and let the proxy speak, until one side ends it."""
        speaking: asyncio.Task[None] | None = None
        try:
            await self.prepare(request)
            speaking = asyncio.create_task(self._proxy.speech(SocketWire(self)))
            over = asyncio.create_task(self._proxy.over.wait())
            await asyncio.wait({speaking, over}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
        finally:
            await self._end(speaking)
        with contextlib.suppress(ConnectionError):
            await self.close()

    async def _end(self, speaking: asyncio.Task[None] | None) -> None:
        failure = None
        if speaking is not None:
            speaking.cancel()
            try:
                await speaking
            except TaskFailed as failed:
                failure = failed.message
            except (Hangup, asyncio.CancelledError):
                pass
            except Exception:  # noqa: BLE001 -- the edge: what is broken here must end the proxy's task
                _log.exception("console of %s", self._proxy.path)
                failure = "internal error of the lab"
        self._proxy.end(failure)


def is_wanted(request: web.BaseRequest) -> bool:
    """Whether the request asks for another protocol than HTTP."""
    return "Upgrade" in request.headers


def upgrade(request: web.BaseRequest, world: World, opening: Opening) -> ConsoleSocket:
    """The websocket that takes the proxy's one place. Raises Unreadable 501, NobodyListens."""
    _require_websocket(request)
    proxy = proxies.find(world, int(opening.data["port"]), opening.path)
    if proxy is None:
        raise NobodyListens
    socket = ConsoleSocket(proxy)
    if not socket.can_prepare(request):
        raise Unreadable(501, "missing websocket-key")
    if not proxy.take():
        raise NobodyListens
    return socket


def _require_websocket(request: web.BaseRequest) -> None:
    headers = request.headers
    wanted = headers["Upgrade"].lower()
    if wanted != "websocket":
        raise Unreadable(501, f"unable to upgrade to protocol '{wanted}'")
    version = headers.get("Sec-WebSocket-Version", "")
    if version != "13":
        raise Unreadable(501, f"unsupported websocket-version '{version}'")
    protocols = headers.get("Sec-WebSocket-Protocol", "")
    if not protocols:
        raise Unreadable(501, "missing websocket-protocol header")
    if "binary" not in re.split(r"[,; ]+", protocols):
        raise Unreadable(501, f"unsupported websocket-protocol protocol '{protocols}'")
