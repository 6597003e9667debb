"""Pages of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.domain.errors import Invalid

T = TypeVar("T")


@dataclass(frozen=True)
class PageRequest:
    """`cursor` is what the page before gave as `next`; `sort` a field name, with `-` before it for descending."""

    limit: int = 100
    cursor: str | None = None
    sort: str | None = None


@dataclass(frozen=True)
class Page(Generic[T]):
    """`count` is the number of rows that match, over all pages; `next` is None on the last."""

    data: Sequence[T]
    count: int
    next: str | None


def first_of(cursor: str | None) -> int:
    """Of lists whose cursor is a row's number: which row the page begins with. Raises Invalid."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 9:
        raise Invalid({"cursor": ["is not a cursor of this list"]})
    return int(cursor)


def numbered(rows: Sequence[T], request: PageRequest) -> Page[T]:
    """A page out of all rows; its cursor is the number of the next one's first row."""
    start = first_of(request.cursor)
    following = start + request.limit
    return Page(rows[start:following], len(rows), str(following) if following < len(rows) else None)
