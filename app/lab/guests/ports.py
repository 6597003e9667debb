"""A running guest's network port: a real listener on a loopback address of its own, for guests that ask for one.

`guest.address` (127.x.y.z) and `guest.port` come from the seed or the control port; without them nothing listens.
"""

import asyncio

from app.lab.state import Guest, World

_listeners: dict[tuple[int, int], asyncio.Server] = {}
_opening: set[asyncio.Task[None]] = set()


def _key(world: World, guest: Guest) -> tuple[int, int]:
    return id(world), guest.vmid


async def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"lab guest\r\n")
    writer.close()


async def _open(world: World, guest: Guest) -> None:
    await asyncio.sleep(guest.boot_seconds * world.time_scale)
    if guest.status == "running" and _key(world, guest) not in _listeners:
        _listeners[_key(world, guest)] = await asyncio.start_server(_greet, guest.address, guest.port)


def open_later(world: World, guest: Guest) -> None:
    """Listen once the guest has booted."""
    if guest.address and guest.port:
        task = asyncio.get_running_loop().create_task(_open(world, guest))
        _opening.add(task)
        task.add_done_callback(_opening.discard)


def close(world: World, guest: Guest) -> None:
    if server := _listeners.pop(_key(world, guest), None):
        server.close()
