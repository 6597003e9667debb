"""Pages of lists: what every list takes and gives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import marshmallow
from marshmallow import fields, validate

from app.api.schemas.fields import QueryWhole, Schema, Text
from app.domain.paging import PageRequest

W = TypeVar("W")


@dataclass(frozen=True)
class Listing(Generic[W]):
    """What a caller wants of a list: which rows, and which page of them."""

    wanted: W
    page: PageRequest


class PageQuerySchema(Schema):
    limit = QueryWhole(1, 1000, load_default=100, metadata={"description": "Rows of one page."})
    cursor = Text(least=1, most=2000, metadata={"description": "What the page before gave as `next`."})

    #: The filter that the other parameters make; None: the list takes none.
    filters: ClassVar[Callable[..., Any] | None] = None

    @classmethod
    def makes(cls, **data: Any) -> Any:
        request = PageRequest(data.pop("limit"), data.pop("cursor", None), data.pop("sort", None))
        return Listing(cls.filters(**data), request) if cls.filters is not None else request


def sort_by(*columns: str) -> Text:
    """The parameter `sort`."""
    words = [word for column in columns for word in (column, f"-{column}")]
    return Text(validate=validate.OneOf(words), metadata={"description": "`-` before a name: descending."})


@functools.cache
def page_of(item: type[marshmallow.Schema]) -> type[marshmallow.Schema]:
    """The schema of a page of items."""
    members: dict[str, Any] = {
        "data": fields.List(fields.Nested(item), required=True),
        "count": fields.Integer(required=True, metadata={"description": "Rows that match, over all pages."}),
        "next": fields.String(required=True, allow_none=True, metadata={"description": "Cursor of the next page."}),
    }
    return type(f"{item.__name__.removesuffix('Schema')}PageSchema", (Schema,), members)
