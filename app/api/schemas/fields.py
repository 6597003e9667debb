"""Fields that take exactly what they say: no number for a text, no text for a number, nothing that is only similar."""

from __future__ import annotations

import math
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, ClassVar

from marshmallow import RAISE, ValidationError, fields, post_load, validate
from marshmallow import Schema as MarshmallowSchema

from app.domain.identifiers import Identifier, MalformedIdentifier, VmId


class Schema(MarshmallowSchema):
    """Unknown members are refused. `makes` is the domain value that `load` gives; None: a dict."""

    makes: ClassVar[Callable[..., Any] | None] = None

    class Meta:
        unknown = RAISE

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        makes = type(self).makes
        return makes(**data) if makes is not None else data


class Text(fields.String):
    """A text without control characters, of `least` to `most` characters."""

    def __init__(self, *, least: int = 0, most: int = 255, validate: Any = (), **more: Any) -> None:
        checks = [*([validate] if callable(validate) else validate), _length(least, most), _printable]
        super().__init__(validate=checks, **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        return value


class Lines(fields.String):
    """A text of several lines, of at most `most` characters."""

    def __init__(self, *, most: int, **more: Any) -> None:
        super().__init__(validate=[_length(0, most), _printable_lines], **more)


class Secret(fields.String):
    """A password: any characters, shown by no document."""

    def __init__(self, *, least: int = 1, most: int = 1024, **more: Any) -> None:
        metadata = {"format": "password", **more.pop("metadata", {})}
        super().__init__(validate=_length(least, most), metadata=metadata, **more)


class Whole(fields.Integer):
    """A JSON whole number, never a boolean, a text or a fraction, and never outside `least` to `most`."""

    def __init__(self, least: int, most: int, **more: Any) -> None:
        super().__init__(validate=validate.Range(least, most, error="must be from {min} to {max}"), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if type(value) is not int:
            raise ValidationError("must be a whole number")
        return value


class QueryWhole(Whole):
    """The same in a query string, in decimal digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", value, re.ASCII):
            raise ValidationError("must be a whole number")
        return int(value)


class Rate(fields.Float):
    """A number above 0 with at most three decimals; with `zero` also 0."""

    def __init__(self, most: float, *, zero: bool = False, **more: Any) -> None:
        told = "must be from {min} to {max}" if zero else "must be above {min}, at most {max}"
        super().__init__(validate=validate.Range(0, most, min_inclusive=zero, error=told), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValidationError("must be a number")
        if round(value, 3) != value:
            raise ValidationError("must have at most three decimals")
        return float(value)


class Flag(fields.Boolean):
    """true or false."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise ValidationError("must be true or false")
        return value


class QueryFlag(fields.Boolean):
    """true, false, 1 or 0 in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if value not in ("true", "false", "1", "0"):
            raise ValidationError("must be true or false")
        return bool(value in ("true", "1"))


class Named(Text):
    """An identifier of the domain, parsed."""

    def __init__(self, identifier: type[Identifier], **more: Any) -> None:
        metadata = {"pattern": f"^(?:{identifier.form.pattern})$", "maxLength": identifier.max_length}
        super().__init__(least=1, most=identifier.max_length, metadata=metadata | more.pop("metadata", {}), **more)
        self._identifier = identifier

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return self._identifier.parse(text)
        except MalformedIdentifier as error:
            raise ValidationError(f"must be a valid {error.kind}") from None


class Vmid(Whole):
    def __init__(self, **more: Any) -> None:
        super().__init__(100, 999_999_999, **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> VmId:
        try:
            return VmId.parse(super()._deserialize(value, attr, data, **kwargs))
        except MalformedIdentifier:
            raise ValidationError("must be from 100 to 999999999") from None


class Choice(Text):
    """One of an enumeration's words."""

    def __init__(self, words: type[StrEnum], **more: Any) -> None:
        super().__init__(validate=validate.OneOf([word.value for word in words]), **more)
        self._words = words

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        return self._words(text) if text in set(self._words) else text


class PublicId(Text):
    """A UUID, in its usual spelling."""

    def __init__(self, **more: Any) -> None:
        super().__init__(metadata={"format": "uuid"} | more.pop("metadata", {}), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_uuid(text):
            raise ValidationError("must be a UUID")
        return str(text).lower()


class GuestRef(Text):
    """A guest as paths name it: its UUID, in the usual spelling, or its vmid in digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(text).lower() if is_uuid(text) else str(VmId.parse(text))
        except MalformedIdentifier as error:
            raise ValidationError("must be a guest's id or vmid") from error


class Moment(fields.AwareDateTime):
    """A moment in UTC, as RFC 3339 with a Z: the same text wherever a document is made."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        text = super()._serialize(value, attr, obj, **kwargs)
        return str(text).replace("+00:00", "Z") if text is not None else None


class Several(fields.List[Any]):
    """A list of `least` to `most` entries; loads as a tuple."""

    def __init__(self, item: fields.Field[Any], *, most: int, least: int = 0, **more: Any) -> None:
        told = f"must have {least} to {most} entries" if least else f"must have at most {most} entries"
        super().__init__(item, validate=validate.Length(least or None, most, error=told), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, attr, data, **kwargs))


def is_uuid(text: str) -> bool:
    """In the form with hyphens only: Python's own parser also takes braces and a URN."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def is_printable(text: str) -> bool:
    """Without control characters, which PVE, logs and databases take badly, and without halves of surrogate pairs."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _printable(text: str) -> None:
    if not is_printable(text):
        raise ValidationError("must not have control characters")


def _printable_lines(text: str) -> None:
    for line in text.split("\n"):
        _printable(line)


def _length(least: int, most: int) -> validate.Length:
    return validate.Length(least or None, most, error=f"must have {least} to {most} characters")
