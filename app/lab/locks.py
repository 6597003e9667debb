"""PVE's locks: one taker at a time, the others wait for a while and give up in PVE's words (facts.md section 12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.lab import clock, faults
from app.lab.state import World

_CLUSTER_FILES = {"user.cfg": "file-user_cfg", "storage.cfg": "file-storage_cfg", "domains.cfg": "file-domains_cfg"}
_PATIENCE = 2.0
"""Real seconds that a taker waits at least for others at work, whatever the time scale."""


class LockTimeout(Exception):
    """A lock could not be had in time; the text is PVE's."""


def guest(world: World, kind: str, vmid: int, seconds: float = 10) -> AbstractAsyncContextManager[None]:
    """The lock of a guest's configuration. Raises LockTimeout after PVE seconds."""
    folder = "/var/lock/qemu-server/lock" if kind == "qemu" else "/run/lock/lxc/pve-config"
    tail = ".conf" if kind == "qemu" else ".lock"
    text = f"can't lock file '{folder}-{vmid}{tail}' - got timeout"
    return _taken(world, f"guest:{vmid}", seconds, text)


def take(world: World, name: str, seconds: float | None, prefix: str = "") -> AbstractAsyncContextManager[None]:
    """The lock `user.cfg`, `storage.cfg`, `guest:ID`, `storage:ID` or `storage:ID@NODE`, waited for so long.

    `seconds` are PVE's; None waits as long as it takes. Raises LockTimeout with PVE's text after the prefix.
    """
    return _taken(world, name, seconds, prefix + _text(name))


def _text(name: str) -> str:
    if name in _CLUSTER_FILES:
        return f"cfs-lock '{_CLUSTER_FILES[name]}' error: got lock request timeout"
    kind, _, rest = name.partition(":")
    if kind == "storage":
        return f"can't lock file '/var/lock/pve-manager/pve-storage-{rest.partition('@')[0]}' - got timeout"
    return f"can't lock file '/var/lock/qemu-server/lock-{rest}.conf' - got timeout"


@asynccontextmanager
async def _taken(world: World, name: str, seconds: float | None, text: str) -> AsyncIterator[None]:
    if name in _CLUSTER_FILES and not world.cluster.quorate:
        await clock.sleep(world, seconds or 0)
        raise LockTimeout(text.replace("got lock request timeout", "no quorum!"))
    await _outlast_fault(world, name, seconds, text)
    lock = world.locks.setdefault(name, asyncio.Lock())
    try:
        if seconds is None:
            await lock.acquire()
        else:
            await clock.within(world, seconds, _PATIENCE, lock.acquire())
    except TimeoutError:
        raise LockTimeout(text) from None
    try:
        yield
    finally:
        lock.release()
        if not lock.locked():
            world.locks.pop(name, None)


async def _outlast_fault(world: World, name: str, seconds: float | None, text: str) -> None:
    """Somebody outside holds the lock: wait until it is let go, or until the time is over."""
    held = faults.held_lock(world, name, for_ever=seconds is None)
    if held is None:
        return
    if seconds is not None:
        await clock.sleep(world, seconds, over=lambda: not held.standing)
        if held.standing:
            raise LockTimeout(text)
    while held.standing:
        await asyncio.sleep(0.05)
