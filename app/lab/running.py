"""A lab at work: its world, what it started from, its rules, its log, and the file it keeps."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from app.lab import saving, tasks
from app.lab.calls import CallLog
from app.lab.dispatch import Dispatch
from app.lab.faults import Faults
from app.lab.guests import ports
from app.lab.schema import Schema
from app.lab.state import World

_SETTLE = 0.5
"""Seconds between a change and its being on disk."""


class Lab:
    """One cluster and everything around it. `start` makes the world that a reset goes back to."""

    def __init__(self, start: Callable[[], World], *, keep: Path | None, time_scale: float, certificate: str) -> None:
        self.calls = CallLog()
        self.faults = Faults()
        self.dispatch = Dispatch(Schema.load())
        self._start = start
        self._keep = keep
        self._time_scale = time_scale
        self._certificate = certificate
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        self.world = self._dressed(self._first())

    def _first(self) -> World:
        if self._keep and self._keep.exists():
            return saving.load(self._keep.read_bytes())
        return self._start()

    def _dressed(self, world: World) -> World:
        world.time_scale = self._time_scale
        world.certificate = self._certificate
        world.faults = self.faults
        tasks.lost(world)
        return world

    def replace(self, world: World) -> None:
        """Go on with another world; what runs in the old one ends."""
        self._time_scale = self.world.time_scale
        for guest in self.world.guests.values():
            ports.close(self.world, guest)
        for job in self.world.background:
            job.cancel()
        self.world = self._dressed(world)
        self.open_ports()
        self.changed()

    def reset(self) -> None:
        """Back to the start: no calls, no rules, no tasks."""
        self.faults.remove()
        self.calls.clear()
        self.replace(self._start())

    def open_ports(self) -> None:
        """Guests that run in a loaded state listen again."""
        for guest in self.world.guests.values():
            if guest.status == "running":
                ports.open_later(self.world, guest)

    def changed(self) -> None:
        """Something may have changed: save it soon, and again when running tasks have ended."""
        self._unsaved = True
        if self._keep and (self._saving is None or self._saving.done()):
            self._saving = asyncio.get_running_loop().create_task(self._save_soon())

    async def _save_soon(self) -> None:
        while self._unsaved or self._at_work():
            await asyncio.sleep(_SETTLE)
            self._unsaved = False
            await self._save()

    def _at_work(self) -> bool:
        """Whether tasks run that will change something: not those of consoles that are looked at, maybe for hours."""
        looked_at = [proxy for proxy in self.world.consoles.values() if proxy.taken]
        return len(self.world.running) > len(looked_at)

    async def _save(self) -> None:
        if self._keep:
            await asyncio.to_thread(saving.write, self._keep, saving.dump(self.world))

    async def close(self) -> None:
        """Save a last time."""
        if self._saving:
            self._saving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._saving
        await self._save()
