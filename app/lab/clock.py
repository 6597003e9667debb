"""The lab's time: it runs with the host's clock, moved and scaled, or stands still until it is moved on.

`now` is the cluster's own time, by which things last; `wall` is what a node's clock shows, wrong by the node's skew.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.lab.state import World

_NOTHING = 1e-6
"""Seconds that are no time any more: sums of steps are not exact."""
_SETTLING = 25
"""Rounds of the event loop after which everything that was woken has gone on to its next wait."""


@dataclass(eq=False)
class Sleeper:
    """Someone who waits; `left` are PVE seconds."""

    left: float
    stirred: asyncio.Event = field(default_factory=asyncio.Event)


def stands(world: World) -> bool:
    """Whether the time moves only when it is told to."""
    return world.stands_at is not None


def now(world: World) -> float:
    """Seconds since the epoch."""
    return time.time() + world.clock_offset if world.stands_at is None else world.stands_at


def wall(world: World, node: str | None = None) -> float:
    """What the clock of a node shows, by default of the one that answers; seconds since the epoch."""
    host = world.nodes.get(node or world.local_node)
    return now(world) + (host.clock_skew if host else 0)


def stamp(moment: float) -> str:
    """A moment as it stands in names of backups: `2026_02_27-13_45_00`, in UTC."""
    return time.strftime("%Y_%m_%d-%H_%M_%S", time.gmtime(moment))


def date(world: World) -> str:
    """The day: `2026-02-27`, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(now(world)))


async def sleep(world: World, seconds: float, over: Callable[[], bool] = lambda: False) -> None:
    """Wait for PVE seconds, following changes of scale and time; ends early once `over` says so at a `stir`."""
    sleeper = Sleeper(seconds)
    world.sleepers.add(sleeper)
    try:
        while sleeper.left > _NOTHING and not over() and (stands(world) or world.time_scale > 0):
            sleeper.stirred.clear()
            await _doze(world, sleeper)
    finally:
        world.sleepers.discard(sleeper)
    await asyncio.sleep(0)


async def _doze(world: World, sleeper: Sleeper) -> None:
    if stands(world):
        await sleeper.stirred.wait()
        return
    scale, began = world.time_scale, time.monotonic()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sleeper.stirred.wait(), sleeper.left * scale)
    sleeper.left -= (time.monotonic() - began) / scale


async def pause(world: World, seconds: float) -> None:
    """Wait for real seconds, whatever the scale; for the lab's own while its time stands."""
    if stands(world):
        await sleep(world, seconds)
    else:
        await asyncio.sleep(seconds)


async def within(world: World, seconds: float, least: float, work: Awaitable[Any]) -> None:
    """Wait for something, at most so many PVE seconds, and at least `least` real ones while the time runs.

    Raises TimeoutError.
    """
    if not stands(world):
        await asyncio.wait_for(work, max(seconds * world.time_scale, least))
        return
    job, limit = asyncio.ensure_future(work), asyncio.ensure_future(sleep(world, seconds))
    try:
        await asyncio.wait({job, limit}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise TimeoutError
        job.result()
    finally:
        job.cancel()
        limit.cancel()


def stir(world: World) -> None:
    """Everyone who sleeps looks at the clock again."""
    for sleeper in world.sleepers:
        sleeper.stirred.set()


async def change(
    world: World, *, stand: bool | None = None, time_scale: float | None = None, now_is: float | None = None
) -> None:
    """Stop the time or let it run, set the scale, set the date (nobody's wait is shortened by that)."""
    moment = now(world) if now_is is None else now_is
    if time_scale is not None:
        world.time_scale = time_scale
    standing = stands(world) if stand is None else stand
    world.stands_at = moment if standing else None
    if not standing and (now_is is not None or stand is not None):
        world.clock_offset = moment - time.time()
    stir(world)
    await _settle()


async def advance(world: World, seconds: float) -> None:
    """Move the time on, from one wake-up to the next, each at its own moment; returns once all have gone on."""
    stir(world)
    await _settle()
    left = seconds
    while left > _NOTHING:
        part = min([left, *(sleeper.left for sleeper in world.sleepers if sleeper.left > _NOTHING)])
        left -= part
        _move(world, part)
        for sleeper in world.sleepers:
            sleeper.left -= part
        stir(world)
        await _settle()


def _move(world: World, seconds: float) -> None:
    if world.stands_at is None:
        world.clock_offset += seconds
    else:
        world.stands_at += seconds


async def _settle() -> None:
    for _ in range(_SETTLING):
        await asyncio.sleep(0)
