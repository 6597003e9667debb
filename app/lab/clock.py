"""The lab's time: the host's clock plus what was advanced, and waits as long as PVE's own times the scale."""

import asyncio
import time
from collections.abc import Callable

from app.lab.state import World


def now(world: World) -> float:
    """Seconds since the epoch."""
    return time.time() + world.clock_offset


def stamp(moment: float) -> str:
    """A moment as it stands in names of backups: `2026_02_27-13_45_00`, in UTC."""
    return time.strftime("%Y_%m_%d-%H_%M_%S", time.gmtime(moment))


def date(world: World) -> str:
    """The day: `2026-02-27`, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(now(world)))


async def sleep(world: World, seconds: float, over: Callable[[], bool] = lambda: False) -> None:
    """Wait for PVE seconds, following changes of scale and time; ends early once `over` says so at a `stir`."""
    left = seconds
    while left > 0 and world.time_scale > 0 and not over():
        scale, offset, began = world.time_scale, world.clock_offset, time.monotonic()
        await _doze(world, left * scale)
        left -= (time.monotonic() - began) / scale + world.clock_offset - offset
    await asyncio.sleep(0)


async def _doze(world: World, seconds: float) -> None:
    stirred = asyncio.Event()
    world.sleepers.add(stirred)
    try:
        await asyncio.wait_for(stirred.wait(), seconds)
    except TimeoutError:
        return
    finally:
        world.sleepers.discard(stirred)


def stir(world: World) -> None:
    """Everyone who sleeps looks at the clock again."""
    for sleeper in world.sleepers:
        sleeper.set()


def change(world: World, *, time_scale: float | None = None, advance: float = 0.0) -> None:
    """Set the scale, move the clock on by seconds."""
    if time_scale is not None:
        world.time_scale = time_scale
    world.clock_offset += advance
    stir(world)
