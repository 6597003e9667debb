"""A running guest's network port: a real listener on a loopback address of its own, for guests that ask for one.

`guest.address` (127.x.y.z) and `guest.port` come from the seed or the control port; without them nothing listens.
"""

import asyncio
import contextlib

from app.lab import clock
from app.lab.state import Guest, World

_listeners: dict[tuple[int, int], asyncio.Server] = {}


def _key(world: World, guest: Guest) -> tuple[int, int]:
    return id(world), guest.vmid


async def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"lab guest\r\n")
    writer.close()


async def _open(world: World, guest: Guest) -> None:
    await clock.sleep(world, guest.boot_seconds)
    if guest.status == "running" and _key(world, guest) not in _listeners:
        # An address that something else has taken leaves the guest without a port, as on a real network.
        with contextlib.suppress(OSError):
            _listeners[_key(world, guest)] = await asyncio.start_server(_greet, guest.address, guest.port)


def open_later(world: World, guest: Guest) -> None:
    """Listen once the guest has booted."""
    if guest.address and guest.port:
        task = asyncio.get_running_loop().create_task(_open(world, guest))
        world.background.add(task)
        task.add_done_callback(world.background.discard)


def close(world: World, guest: Guest) -> None:
    if server := _listeners.pop(_key(world, guest), None):
        server.close()
