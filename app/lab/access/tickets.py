"""Tickets, CSRF tokens and API tokens: who a request comes from (facts.md section 3)."""

import base64
import hashlib
import hmac
import urllib.parse

from app.lab import clock
from app.lab.access.rights import Identity
from app.lab.state import User, World

_LIFETIME = 7200
_EARLY = 300
"""Seconds that a ticket may come of a clock ahead of ours."""


class NotAuthenticated(Exception):
    """401; the text is the reason phrase."""


def active(world: World, userid: str) -> User | None:
    """The user, if there is one who is enabled and not expired."""
    user = world.users.get(userid)
    if user is None or not user.enable or (user.expire and user.expire < clock.wall(world)):
        return None
    return user


def _bytes(text: str) -> bytes:
    """Headers may hold bytes that are no UTF-8."""
    return text.encode(errors="surrogateescape")


def _signature(world: World, text: str) -> str:
    key = bytes.fromhex(world.secret)
    return base64.b64encode(hmac.digest(key, _bytes(text), hashlib.sha256)).decode()


def _ticket_signature(world: World, text: str, userid: str) -> str:
    rounds = [world.ticket_rounds.get(name, 0) for name in ("", userid)]
    return _signature(world, f"{text} {rounds}" if any(rounds) else text)


def ticket(world: World, userid: str) -> str:
    """`PVE:USER@REALM:HEXTIME::SIGNATURE`."""
    text = f"PVE:{userid}:{int(clock.wall(world)):08X}"
    return f"{text}::{_ticket_signature(world, text, userid)}"


def expire(world: World, userid: str = "") -> None:
    """Make all tickets of a user worthless that there are by now, or everybody's."""
    world.ticket_rounds[userid] = world.ticket_rounds.get(userid, 0) + 1


def csrf_token(world: World, userid: str) -> str:
    """`HEXTIME:SIGNATURE`, without the padding."""
    stamp = f"{int(clock.wall(world)):08X}"
    return f"{stamp}:{_signature(world, f'csrf:{stamp}:{userid}').rstrip('=')}"


def _fresh(world: World, stamp: str) -> bool:
    try:
        age = clock.wall(world) - int(stamp, 16)
    except (ValueError, OverflowError):
        return False
    return -_EARLY < age < _LIFETIME


def owner(world: World, presented: str) -> str | None:
    """The user of a valid ticket, whatever became of him since."""
    text, _, signature = presented.partition("::")
    parts = text.split(":")
    if len(parts) != 3 or parts[0] != "PVE" or not _fresh(world, parts[2]):
        return None
    fits = hmac.compare_digest(_bytes(signature), _bytes(_ticket_signature(world, text, parts[1])))
    return parts[1] if fits else None


def _csrf_fits(world: World, userid: str, presented: str) -> bool:
    stamp, _, signature = presented.partition(":")
    wanted = _signature(world, f"csrf:{stamp}:{userid}").rstrip("=")
    return _fresh(world, stamp) and hmac.compare_digest(_bytes(signature), _bytes(wanted))


def cookie(header: str) -> str | None:
    """The ticket of a Cookie header, decoded; None where there is none or an empty one."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "PVEAuthCookie" and value:
            return urllib.parse.unquote(value)
    return None


def of_token(world: World, authorization: str) -> Identity:
    """The identity of `PVEAPIToken=USER@REALM!ID=SECRET`. Raises NotAuthenticated."""
    name, _, secret = authorization.removeprefix("PVEAPIToken").removeprefix("=").strip().partition("=")
    who = Identity.parse(name)
    user = active(world, who.user)
    token = user.tokens.get(who.token or "") if user else None
    if token is None or not hmac.compare_digest(_bytes(token.secret), _bytes(secret)):
        raise NotAuthenticated("Authentication failed!")
    if token.expire and token.expire < clock.wall(world):
        raise NotAuthenticated("Authentication failed!")
    return who


def of_cookie(world: World, presented: str | None, csrf: str | None, *, writes: bool) -> Identity:
    """The identity of a ticket, with its CSRF token wherever something may be written. Raises NotAuthenticated."""
    if presented is None:
        raise NotAuthenticated("No ticket")
    userid = owner(world, presented)
    if userid is None or active(world, userid) is None:
        raise NotAuthenticated("Authentication failed!")
    if writes and not _csrf_fits(world, userid, csrf or ""):
        raise NotAuthenticated("Permission denied - invalid csrf token")
    return Identity(userid)
