"""A world as JSON, and back. What a dataclass field marks as `live` stays behind."""

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from app.lab.state import World

_SAVED = tuple(field.name for field in dataclasses.fields(World) if not field.metadata.get("live"))
_FORMER = frozenset({"console_ports", "console_tickets"})
"""What older files of a whole world hold and nobody needs any more."""
_hints: dict[type, dict[str, Any]] = {}


class BadState(ValueError):
    """JSON that is no state of a lab; the text says where."""


def dump(world: World) -> bytes:
    """The whole state as JSON. Sets become sorted lists, ids that are numbers become texts."""
    return orjson.dumps({name: getattr(world, name) for name in _SAVED}, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)


def load(text: bytes) -> World:
    """The world that `dump` wrote. Raises BadState."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadState(str(error)) from None
    if isinstance(raw, dict):
        raw = {name: value for name, value in raw.items() if name not in _FORMER}
    world = _read(World, raw, "state")
    assert isinstance(world, World)
    return world


def _read(wanted: Any, value: Any, where: str) -> Any:
    origin, inside = typing.get_origin(wanted), typing.get_args(wanted)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _read_dataclass(wanted, value, where)
    if origin is dict:
        return {_key(inside[0], key): _read(inside[1], item, where) for key, item in _mapping(value, where).items()}
    if origin is set:
        return {_read(inside[0], item, where) for item in value}
    if origin is list:
        return [_read(inside[0], item, where) for item in value]
    if origin in (types.UnionType, typing.Union):
        plain = [part for part in inside if part is not type(None)]
        return None if value is None else _read(plain[0], value, where) if len(plain) == 1 else value
    return value


def _read_dataclass(wanted: type, value: Any, where: str) -> Any:
    hints = _hints.get(wanted) or _learn(wanted)
    values = _mapping(value, where)
    if unknown := set(values) - set(hints):
        raise BadState(f"{where}: unknown {', '.join(sorted(unknown))}")
    try:
        return wanted(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in values.items()})
    except TypeError as error:
        raise BadState(f"{where}: {error}") from None


def _learn(wanted: type) -> dict[str, Any]:
    _hints[wanted] = typing.get_type_hints(wanted)
    return _hints[wanted]


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadState(f"{where}: not an object")
    return value


def _key(wanted: type, key: str) -> Any:
    return int(key) if wanted is int else key


def write(path: Path, text: bytes) -> None:
    """Replace the file in one step, so that a reader sees the old or the new one, whole."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
