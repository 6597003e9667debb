"""Console proxies: a port from 5900 up that waits ten seconds for its one client, inside a task.

The ports are numbers only. On them nothing listens but the websockets that come in through the API.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from app.lab import clock
from app.lab.consoles.wire import Wire
from app.lab.state import World
from app.lab.tasks import Task, TaskFailed

FIRST_PORT, LAST_PORT = 5900, 5999
_HOLD_SECONDS = 10.0


class NoPort(Exception):
    """All ports are held; the text is PVE's."""


Speech = Callable[[Wire], Coroutine[Any, Any, None]]
"""Talks to the client until either side ends it. Raises Hangup, or TaskFailed to fail the proxy's task."""


@dataclass(eq=False)
class Proxy:
    """One console that was opened. It ends with its guest, with its task, or when its client goes."""

    port: int
    path: str
    """The ACL path of what is shown: `/vms/100`, `/nodes/n1`."""
    speech: Speech
    unheard: str
    """The end of the task when nobody comes."""
    upid: str = ""
    taken: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str | None = None
    sleeper: clock.Sleeper = field(default_factory=lambda: clock.Sleeper(_HOLD_SECONDS))

    def take(self) -> bool:
        """A client comes: whether it is the first, and the proxy still waits."""
        if self.taken or self.over.is_set():
            return False
        self.taken, self.sleeper.left = True, math.inf
        self.sleeper.stirred.set()
        return True

    def end(self, failure: str | None = None) -> None:
        """Nothing more comes through; the task ends, with this text where it failed."""
        if not self.over.is_set():
            self.failure = failure
            self.over.set()
            self.sleeper.stirred.set()

    async def work(self, task: Task) -> None:
        """The proxy's task. The wait for a client is the client's time: no scale shortens it, a moved clock does."""
        world = task.world
        world.sleepers.add(self.sleeper)
        try:
            while self.sleeper.left > 0 and not (self.over.is_set() or task.stopped):
                await self._stirred(world)
        finally:
            world.sleepers.discard(self.sleeper)
            world.consoles.pop(self.port, None)
            self.end("received interrupt" if task.stopped else None if self.taken else self.unheard)
        if self.failure is not None:
            raise TaskFailed(self.failure)

    async def _stirred(self, world: World) -> None:
        self.sleeper.stirred.clear()
        limit = None if self.taken or clock.stands(world) else self.sleeper.left
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.sleeper.stirred.wait(), limit)
        if limit is not None:
            self.sleeper.left -= time.monotonic() - began


def free_port(world: World) -> int:
    """The lowest port that no proxy holds. Raises NoPort."""
    for port in range(FIRST_PORT, LAST_PORT + 1):
        held = world.consoles.get(port)
        if held is None or held.upid not in world.running:
            return port
    raise NoPort(f"unable to find free port ({FIRST_PORT}-{LAST_PORT})")


def find(world: World, port: int, path: str) -> Proxy | None:
    """The proxy that waits on this port, if it was opened for this path."""
    proxy: Proxy | None = world.consoles.get(port)
    return proxy if proxy and proxy.path == path and proxy.upid in world.running else None


def disconnect(world: World, path: str) -> None:
    """What the path names has stopped: those who look at it are cut off."""
    for proxy in list(world.consoles.values()):
        if proxy.path == path and proxy.taken:
            proxy.end()
