"""PVE's locks: one taker at a time, the others wait for a while and give up in PVE's words (facts.md section 12)."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.lab import clock, faults
from app.lab.state import World

_WRITTEN_BY_CALL = {
    r"/cluster/options": "datacenter.cfg",
    r"/cluster/backup(/.*)?": "jobs.cfg",
    r"/cluster/firewall/.*": "firewall-cluster",
    r"/nodes/{node}/firewall/.*": "firewall-host-{node}",
    r"/nodes/{node}/(?:qemu|lxc)/{vmid}/firewall/.*": "firewall-vm-{vmid}",
}
"""What a call that changes something holds from its beginning to its end, by path template."""
_PATIENCE = 2.0
"""Real seconds that a taker waits at least for others at work, whatever the time scale."""


class LockTimeout(Exception):
    """A lock could not be had in time; the text is PVE's."""


class Hold:
    """Who has a lock: one taker alone, or several that share it."""

    def __init__(self) -> None:
        self._alone, self._sharers, self._freed = False, 0, asyncio.Event()

    async def take(self, *, shared: bool) -> None:
        while self._alone or (self._sharers and not shared):
            await self._freed.wait()
        self._sharers += shared
        self._alone = not shared

    def let_go(self, *, shared: bool) -> None:
        self._sharers -= shared
        self._alone = False
        self._freed.set()
        self._freed = asyncio.Event()


def guest(
    world: World, kind: str, vmid: int, seconds: float = 10, *, shared: bool = False
) -> AbstractAsyncContextManager[None]:
    """The lock of a guest's configuration, alone or with others that share it. Raises LockTimeout after PVE seconds."""
    folder = "/var/lock/qemu-server/lock" if kind == "qemu" else "/run/lock/lxc/pve-config"
    tail = ".conf" if kind == "qemu" else ".lock"
    text = f"can't lock file '{folder}-{vmid}{tail}' - got timeout"
    return _taken(world, f"guest:{vmid}", seconds, text, shared=shared)


def take(world: World, name: str, seconds: float | None, prefix: str = "") -> AbstractAsyncContextManager[None]:
    """The lock of a file of the cluster, of `storage:ID` (a shared one) or of `storage:ID@NODE`, waited for so long.

    `seconds` are PVE's; None waits as long as it takes. Raises LockTimeout with PVE's text after the prefix.
    """
    return _taken(world, name, seconds, prefix + _text(name))


@asynccontextmanager
async def of_call(world: World, method: str, template: str, in_path: Mapping[str, str]) -> AsyncIterator[None]:
    """The lock of the file below /etc/pve that this call writes as a whole, if it does; others take theirs inside."""
    found = next((name for path, name in _WRITTEN_BY_CALL.items() if re.fullmatch(path, template)), None)
    if found is None or method == "GET":
        yield
        return
    async with take(world, found.format(**in_path), 10):
        yield


def _is_clusters(name: str) -> bool:
    """Whether pmxcfs gives the lock out, which it does with a quorum alone."""
    return not name.startswith("guest:") and "@" not in name


def _text(name: str) -> str:
    if not _is_clusters(name):
        storage = name.partition(":")[2].partition("@")[0]
        return f"can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
    lock = re.sub(r"[./]", "_", f"file-{name}") if name in faults.CLUSTER_FILES else name.replace(":", "-")
    return f"cfs-lock '{lock}' error: got lock request timeout"


@asynccontextmanager
async def _taken(
    world: World, name: str, seconds: float | None, text: str, *, shared: bool = False
) -> AsyncIterator[None]:
    if _is_clusters(name) and not world.cluster.quorate:
        await clock.sleep(world, seconds or 0)
        raise LockTimeout(text.replace("got lock request timeout", "no quorum!"))
    await _outlast_fault(world, name, seconds, text)
    hold = world.locks.setdefault(name, Hold())
    try:
        if seconds is None:
            await hold.take(shared=shared)
        else:
            await clock.within(world, seconds, _PATIENCE, hold.take(shared=shared))
    except TimeoutError:
        raise LockTimeout(text) from None
    try:
        yield
    finally:
        hold.let_go(shared=shared)


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
