"""Requests as pveproxy reads them: paths, queries, bodies, and its refusals of what it does not read (facts.md 1)."""

import email.parser
import email.policy
import json
import re
import urllib.parse
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 512 * 1024
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
        raise Unreadable(500, f"no such file '{path}'", body=False)
    found = _URI.fullmatch(path)
    if found is None:
        raise Unreadable(501, "no such uri", body=False)
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
        value = json.loads(text.decode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        where = "(end of string)" if error.pos >= len(text) else text[error.pos :].decode("utf-8", "replace")
        reason = (
            "malformed JSON string, neither tag, array, object, number, string or atom, "
            f'at character offset {error.pos} (before "{where}")'
        )
        raise Unreadable(500, reason, newline=True) from None
    if value is None:
        return {}
    if isinstance(value, list):
        raise Unreadable(500, "Not a HASH reference", newline=True)
    if not isinstance(value, dict):
        shown = str(int(value)) if isinstance(value, bool) else value
        reason = f'Can\'t use string ("{shown}") as a HASH ref while "strict refs" in use'
        raise Unreadable(500, reason, newline=True)
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


def parse_multipart(content_type: str, text: bytes) -> tuple[Params, bytes | None]:
    """(parameters, content of the file), the file's name among the parameters as `filename`."""
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + text)
    found: Params = {}
    content: bytes | None = None
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        value = payload if isinstance(payload, bytes) else b""
        if (filename := part.get_filename()) is not None:
            found["filename"], content = filename, value
        elif isinstance(name, str):
            found[name] = value.decode("utf-8", "replace")
    return found, content
