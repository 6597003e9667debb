"""Pages of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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
