"""Requests as pveproxy reads them: paths, queries, bodies, and its refusals of what it does not read (facts.md 1)."""

import asyncio
import hashlib
import json
import re
import urllib.parse
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

MOST_BYTES = 512 * 1024
PATIENCE = 5.0
"""Seconds that a sender may be silent in the middle of a body."""
_MOST_OF_FIELD = 64 * 1024
_CHUNK = 64 * 1024
_BASE = "/api2"
_URI = re.compile(rf"{_BASE}/+([a-z][a-z0-9]+)(/.*)?", re.DOTALL)

Params = dict[str, Any]


class Unreadable(Exception):
    """Refused by the transport, outside the API's envelopes: status, reason phrase, and whether the body repeats it."""

    def __init__(self, status: int, reason: str, *, body: bool = True, newline: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.body = (reason + "\n" * newline) if body else ""


class SenderGone(Exception):
    """The body did not come to its end: the sender went away or fell silent."""


_HEAD = 32
"""As much of a file as says how large a disk a qcow2 image holds."""


@dataclass(frozen=True)
class Upload:
    """A file that came and was not kept: its size in bytes, its checksum by the algorithm that was asked for, and how
    it began."""

    size: int
    checksum: str = ""
    head: bytes = b""


@dataclass(frozen=True)
class Address:
    """A request's formatter (`json`, `extjs`), its path decoded, its query."""

    formatter: str
    path: str
    query: Params


def parse_address(raw: str) -> Address:
    """Read a request's target. Raises Unreadable for what is not below `/api2/FORMATTER`."""
    raw_path, _, query = raw.partition("?")
    path = _decoded(raw_path, plus=False)
    if not path.startswith(_BASE):
        raise Unreadable(500, f"no such file '{path}'", newline=True)
    found = _URI.fullmatch(path)
    if found is None:
        raise Unreadable(501, "no such uri")
    return Address(found[1], found[2] or "/", parse_form(query))


def _decoded(text: str, *, plus: bool = True) -> str:
    return urllib.parse.unquote(text.replace("+", " ") if plus else text, errors="replace")


def parse_form(text: str) -> Params:
    """`a=1&b` as parameters: a name without `=` has no value, a repeated one becomes an array."""
    found: Params = {}
    for part in re.split(r"[&;]", text):
        if not part:
            continue
        raw_name, equals, raw_value = part.partition("=")
        name, value = _decoded(raw_name), _decoded(raw_value) if equals else None
        if name in found:
            before = found[name]
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            found[name] = value
    return found


def parse_json(text: bytes) -> Params:
    """A JSON object as parameters. Raises Unreadable in the words of Perl."""
    try:
        value = json.loads(text.decode("utf-8", "replace"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _malformed(text, error.pos) from None
    except RecursionError:
        reason = "json text or perl structure exceeds maximum nesting level (max_depth set too low?)"
        raise Unreadable(500, reason, newline=True) from None
    except ValueError:
        raise _malformed(text, 0) from None
    if value is None:
        return {}
    if isinstance(value, list):
        raise Unreadable(500, "Not a HASH reference", newline=True)
    if not isinstance(value, dict):
        shown = str(int(value)) if isinstance(value, bool) else value
        reason = f'Can\'t use string ("{shown}") as a HASH ref while "strict refs" in use'
        raise Unreadable(500, reason, newline=True)
    plain = _without_surrogates(value)
    assert isinstance(plain, dict)
    return plain


def _malformed(text: bytes, position: int) -> Unreadable:
    where = "(end of string)" if position >= len(text) else text[position:].decode("utf-8", "replace")
    reason = (
        "malformed JSON string, neither tag, array, object, number, string or atom, "
        f'at character offset {position} (before "{where}")'
    )
    return Unreadable(500, reason, newline=True)


def _no_constant(name: str) -> None:
    """Python knows NaN and Infinity, JSON does not."""
    raise ValueError(name)


def _without_surrogates(value: Any) -> Any:
    """Halves of characters, which JSON can spell, are no text that could be written anywhere."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(item) for name, item in value.items()}
    return value


def parse_body(content_type: str, text: bytes) -> Params:
    """A form or a JSON object. Raises Unreadable for any other content type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("", "application/x-www-form-urlencoded"):
        return parse_form(text.decode("utf-8", "replace"))
    if kind == "application/json":
        return parse_json(text)
    raise Unreadable(506, f"upload 'Content-Type '{kind}' not implemented")


def is_multipart(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


async def read(request: web.BaseRequest) -> bytes:
    """The whole body, whose length was checked before. Raises SenderGone."""
    parts = []
    while chunk := await _patiently(request.content.readany()):
        parts.append(chunk)
    return b"".join(parts)


async def _patiently(work: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(PATIENCE):
            return await work
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise SenderGone from None


async def read_multipart(request: web.BaseRequest, query: Params) -> tuple[Params, Upload | None]:
    """(parameters, file), the file's name among the parameters as `filename`. Raises SenderGone, Unreadable."""
    found: Params = {}
    file: Upload | None = None
    try:
        reader = await request.multipart()
        while (part := await _patiently(reader.next())) is not None:
            if not isinstance(part, BodyPartReader):
                raise ValueError("a multipart body within another")
            if part.filename is not None:
                found["filename"] = part.filename
                file = await _swallow(part, str({**found, **query}.get("checksum-algorithm", "")))
            elif part.name is not None:
                found[part.name] = await _field(part)
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise Unreadable(500, f"unable to parse multipart body: {error}", newline=True) from None
    return found, file


async def _swallow(part: BodyPartReader, algorithm: str) -> Upload:
    """Count and check a file of any length without keeping it."""
    digest = hashlib.new(algorithm) if algorithm in hashlib.algorithms_guaranteed else None
    size, head = 0, b""
    while chunk := await _patiently(part.read_chunk(_CHUNK)):
        size += len(chunk)
        head = head if len(head) >= _HEAD else (head + chunk)[:_HEAD]
        if digest:
            digest.update(chunk)
    return Upload(size, digest.hexdigest() if digest else "", head)


async def _field(part: BodyPartReader) -> str:
    text = b""
    while chunk := await _patiently(part.read_chunk(_CHUNK)):
        text += chunk
        if len(text) > _MOST_OF_FIELD:
            raise ValueError("a field is too long")
    return text.decode("utf-8", "replace")
