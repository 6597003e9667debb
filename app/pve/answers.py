"""PVE's JSON as typed values. Types on its wire follow the Perl value, not the schema: `"512"` and `512` are one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from app.domain.identifiers import Identifier, MalformedIdentifier, Upid, VmId
from app.pve import failures

Parsed = TypeVar("Parsed", bound=Identifier)
_SEPARATORS = re.compile(r"[,; ]+")


class Row:
    """One JSON object of PVE's. Raises `PveRefused` where a value cannot be what it should be."""

    def __init__(self, values: object) -> None:
        if not isinstance(values, Mapping):
            raise failures.nonsense(f"an object was expected, not {type(values).__name__}")
        self.values: Mapping[str, Any] = values

    def text(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        return default if value is None else str(value)

    def maybe(self, key: str) -> str | None:
        """The text, or None where it is absent, empty or PVE's single blank for "nothing set"."""
        return self.text(key).strip() or None

    def number(self, key: str, default: int = 0) -> int:
        return int(self.real(key, default))

    def real(self, key: str, default: float = 0) -> float:
        value = self.values.get(key)
        if value is None or value == "":
            return default
        try:
            return float(value)
        except (TypeError, ValueError):
            raise failures.nonsense(f"{key} is no number") from None

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        return default if value is None or value == "" else str(value) not in ("0", "False")

    def identifier(self, key: str, kind: type[Parsed]) -> Parsed:
        try:
            return kind.parse(self.text(key))
        except MalformedIdentifier:
            raise failures.nonsense(f"{key} is no {kind.kind}") from None

    def vmid(self, key: str = "vmid") -> VmId:
        try:
            return VmId.parse(self.number(key))
        except MalformedIdentifier:
            raise failures.nonsense(f"{key} is no vmid") from None

    def words(self, key: str) -> tuple[str, ...]:
        """A list as PVE writes it: separated by comma, semicolon or blank."""
        return tuple(word for word in _SEPARATORS.split(self.text(key)) if word)


def rows(answer: object) -> list[Row]:
    """A JSON list of objects; PVE's `null` for an empty one is taken."""
    if answer is None:
        return []
    if not isinstance(answer, list):
        raise failures.nonsense(f"a list was expected, not {type(answer).__name__}")
    return [Row(item) for item in answer]


def upid(answer: object) -> Upid:
    """The task that a call has started."""
    try:
        return Upid.parse(str(answer))
    except MalformedIdentifier:
        raise failures.nonsense("a task's id was expected") from None
