"""Console tickets: `PVEVNC:HEXTIME::SIGNATURE`, good for one user, one path and forty seconds, as PVE's are."""

import base64
import hashlib
import hmac

from app.lab import clock
from app.lab.state import World

_LIFETIME = 40
_EARLY = 20
"""Seconds that a ticket may come of a clock ahead of ours."""


def _signature(world: World, stamp: str, user: str, path: str) -> str:
    text = f"PVEVNC:{stamp}:{user}:{path}"
    return base64.b64encode(hmac.digest(bytes.fromhex(world.secret), text.encode(), hashlib.sha256)).decode()


def make(world: World, user: str, path: str) -> str:
    """A ticket for `user@realm` or `user@realm!token` on an ACL path: `/vms/100`, `/nodes/n1`."""
    stamp = f"{int(clock.now(world)):08X}"
    return f"PVEVNC:{stamp}::{_signature(world, stamp, user, path)}"


def fits(world: World, presented: str, user: str, path: str) -> bool:
    """Whether it was made for this user and path, and is still fresh."""
    kind, _, rest = presented.partition(":")
    stamp, _, signature = rest.partition("::")
    try:
        age = clock.now(world) - int(stamp, 16)
    except ValueError:
        return False
    wanted = _signature(world, stamp, user, path)
    return kind == "PVEVNC" and -_EARLY < age < _LIFETIME and hmac.compare_digest(signature.encode(), wanted.encode())
