"""Bodies that are files: read as they come, never whole in memory.

A file comes as `application/octet-stream`, or as the last part of `multipart/form-data`, behind fields that say
what the query may. How long it is must be known before it ends, as PVE wants to know it: `Content-Length` tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import HTTPException, LengthRequired, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from app.api import errors
from app.domain.errors import Invalid

CHUNK = 256 * 1024
OCTETS, FORM = "application/octet-stream", "multipart/form-data"
_MOST_OF_FIELDS = 64 * 1024


@dataclass(frozen=True)
class Received:
    """`fields` stood before the file in a form; `filename` is the part's own, None of a plain body. `chunks` can be
    read once; it raises Malformed where the file is not as long as was said."""

    fields: dict[str, str]
    filename: str | None
    size: int
    chunks: Iterator[bytes]


def receive(most: int) -> Received:
    """The request's file, of `most` bytes at most.

    Raises RequestEntityTooLarge, LengthRequired, UnsupportedMediaType, Malformed, Invalid.
    """
    length = request.content_length
    if request.mimetype not in (OCTETS, FORM):
        raise errors.UnsupportedMediaType(f"The body must be {OCTETS} or {FORM}.")
    if length is None:
        raise LengthRequired
    if length > most + _MOST_OF_FIELDS:
        raise RequestEntityTooLarge
    request.max_content_length = length
    found = _form(length) if request.mimetype == FORM else Received({}, None, length, _plain(length))
    if found.size > most:
        raise RequestEntityTooLarge
    if found.size < 1:
        raise Invalid({"file": ["is empty"]})
    return found


def _plain(size: int) -> Iterator[bytes]:
    """Not a byte more is asked for: servers differ in what they say at the end."""
    while size:
        chunk = _next(size)
        if not chunk:
            raise errors.Malformed("The file did not come to its end.")
        size -= len(chunk)
        yield chunk


def _next(most: int = CHUNK) -> bytes:
    try:
        found: bytes = request.stream.read(min(most, CHUNK))
    except (OSError, HTTPException) as error:
        raise errors.Malformed("The file did not come to its end.") from error
    return found


def _exactly(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise errors.Malformed("The file is not as long as the request says; it must be the last part of a form.")


def _form(length: int) -> Received:
    boundary = request.mimetype_params.get("boundary", "").encode("latin-1", "replace")
    if not 1 <= len(boundary) <= 70:
        raise errors.Malformed("The form has no boundary.")
    decoder = MultipartDecoder(boundary, max_form_memory_size=4 * CHUNK, max_parts=20)
    fields: dict[str, str] = {}
    name, taken = "", 0
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                chunk = _next()
                taken += len(chunk)
                decoder.receive_data(chunk or None)
            elif isinstance(event, Field):
                name = event.name
                fields[name] = ""
            elif isinstance(event, Data):
                fields[name] += event.data.decode()
            elif isinstance(event, File):
                if event.name != "file":
                    raise Invalid({event.name or "file": ["the file's part must be called file"]})
                # two line ends (the headers', and the last boundary's own) and the last boundary stand around it
                begun = taken - len(decoder.buffer) + len(b"\r\n")
                size = length - begun - len(b"\r\n--" + boundary + b"--\r\n")
                if size < 0:
                    raise errors.Malformed("The form has no end.")
                return Received(fields, event.filename, size, _exactly(_parts(decoder), size))
            elif isinstance(event, Epilogue):
                raise Invalid({"file": ["Missing data for required field."]})
    except (ValueError, RequestEntityTooLarge) as error:
        raise errors.Malformed("The form is not well-formed.") from error


def _parts(decoder: MultipartDecoder) -> Iterator[bytes]:
    """The file's bytes. What comes after them is read too, so that the sender gets to see our answer."""
    more = True
    while more:
        try:
            event = decoder.next_event()
        except ValueError as error:
            raise errors.Malformed("The form is not well-formed.") from error
        if isinstance(event, NeedData):
            decoder.receive_data(_next() or None)
        elif isinstance(event, Data):
            more = event.more_data
            if event.data:
                yield bytes(event.data)
        else:
            break
