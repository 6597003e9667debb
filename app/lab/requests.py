"""Requests with bodies of any size that the lab's memory can hold: images are uploaded, whole states are put."""

import asyncio
from typing import Any

from aiohttp import web

_MOST = 8 << 30


def any_size(message: Any, payload: Any, protocol: Any, writer: Any, task: "asyncio.Task[None]") -> web.BaseRequest:
    """A request factory for `web.Server`."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_MOST)
