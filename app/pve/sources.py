"""A file at a URL, on its way to PVE. It is us who fetch it: PVE would follow the URL wherever it leads.

A name is resolved once, all its addresses are judged, and the connection goes to one of those very addresses: a name
that leads elsewhere a moment later changes nothing. Each redirect is a new URL, judged like the first.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from app.domain.errors import FetchFailed, Invalid

_REDIRECTS = 5
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
#: Seconds for a connection and between two parts of the file, and for all of it.
_PATIENCE, _LONGEST = 30.0, 3000.0
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Source:
    size: int
    chunks: Iterator[bytes]


def parts_of(url: str) -> SplitResult:
    """Raises Invalid for what is no http or https URL of a host, without user and password."""
    wrong = Invalid({"url": ["must be an address as https://images.example.org/debian.iso"]})
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if not url.isascii() or not url.isprintable() or " " in url or parts.scheme not in _PORTS or not parts.hostname:
        raise wrong
    if parts.username is not None or parts.password is not None or port == 0:
        raise wrong
    return parts


@contextmanager
def opened(url: str, may_be_reached: Callable[[str], bool], *, most: int) -> Iterator[Source]:
    """The file behind a URL, of `most` bytes at most.

    Raises Invalid `url.forbidden` where it leads to an address that may not be reached, FetchFailed where nothing of
    use is there.
    """
    for _ in range(_REDIRECTS + 1):
        parts = parts_of(url)
        connection = _connected(parts, may_be_reached)
        try:
            answer = _asked(connection, parts)
            if answer.status not in _REDIRECTING:
                yield _source(answer, most)
                return
            url = _next(url, parts, answer)
        finally:
            connection.close()
    raise _failed("It redirects too often.")


def address_of(parts: SplitResult, may_be_reached: Callable[[str], bool]) -> tuple[str, int]:
    """Where a URL leads: an address and a port. Raises Invalid `url.forbidden`, FetchFailed."""
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError:
        raise _failed("Its host has no address.") from None
    if not found or not all(may_be_reached(address) for address in found):
        raise Invalid({"url": ["leads to an address that may not be reached"]}, code="url.forbidden")
    return found[0], port


def _connected(parts: SplitResult, may_be_reached: Callable[[str], bool]) -> http.client.HTTPConnection:
    host, (address, port) = parts.hostname or "", address_of(parts, may_be_reached)
    try:
        plain = socket.create_connection((address, port), _PATIENCE)
        if parts.scheme == "https":
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except (OSError, ssl.SSLError):
        raise _failed("Its host cannot be reached, or is not who it should be.") from None
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    connection.sock = plain
    return connection


def _asked(connection: http.client.HTTPConnection, parts: SplitResult) -> http.client.HTTPResponse:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(
            "GET", target, headers={"Host": parts.netloc, "Accept-Encoding": "identity", "User-Agent": "poolhouse"}
        )
        return connection.getresponse()
    except (OSError, http.client.HTTPException):
        raise _failed("Its host gave no answer that can be read.") from None


def _next(url: str, parts: SplitResult, answer: http.client.HTTPResponse) -> str:
    following = urljoin(url, answer.getheader("Location") or "")
    if parts.scheme == "https" and not following.startswith("https:"):
        raise Invalid({"url": ["leads from https to something else"]}, code="url.forbidden")
    return following


def _source(answer: http.client.HTTPResponse, most: int) -> Source:
    if answer.status != 200:
        raise _failed(f"Its host answered {answer.status}.")
    if answer.length is None or answer.length < 1:
        raise _failed("Its host does not say how long it is.")
    if answer.length > most:
        raise _failed(f"It is longer than {most} bytes.")
    return Source(answer.length, _chunks(answer, answer.length))


def _chunks(answer: http.client.HTTPResponse, size: int) -> Iterator[bytes]:
    until = time.monotonic() + _LONGEST
    while size:
        try:
            chunk = answer.read(min(_CHUNK, size))
        except (OSError, http.client.HTTPException):
            chunk = b""
        if not chunk or time.monotonic() > until:
            raise _failed("It did not come to its end.")
        size -= len(chunk)
        yield chunk


def _failed(why: str) -> FetchFailed:
    return FetchFailed(f"The file cannot be fetched. {why}", remedy="Look at the URL, and try again.")
