"""Keyset pages: a cursor names the last row seen, so a page costs the same wherever it stands."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa

from app.db.session import Moment, Tx
from app.domain.errors import Invalid
from app.domain.paging import Page, PageRequest

#: Bits of a column's whole number, but for its sign.
_INTEGER = 31


def page(
    tx: Tx,
    statement: sa.Select[*tuple[Any, ...]],
    *,
    columns: Mapping[str, Any],
    key: Any,
    default_sort: str,
    request: PageRequest,
) -> Page[Any]:
    """One page of a statement, and how many rows match in all.

    `columns` are what may be sorted by; `key` (unique) breaks ties. A statement of one entity gives entities, of
    several columns rows. Raises Invalid for a sort or a cursor that is not one.
    """
    name, descending = _sort(request.sort or default_sort, columns)
    column = columns[name]
    described = statement.column_descriptions
    of_entity = isinstance(described[0]["expr"], type)
    #: Rows that are no entities need nothing of the session: straight from the connection they cost half.
    connection = tx.connection()
    execute = tx.execute if of_entity else connection.execute
    counted = statement.with_only_columns(sa.func.count(), maintain_column_froms=True)
    # a moment as the database keeps it: for the cursor only, and not worth a conversion a row
    sorted_by = sa.type_coerce(column, sa.String) if isinstance(column.type, Moment) else column
    total = counted.correlate(None).scalar_subquery()
    wanted = statement.add_columns(total.label("_count"), sorted_by.label("_sort"), key.label("_key"))
    if request.cursor is not None:
        value, last = _read(request.cursor, name, column.type)
        after = sa.tuple_(column, key) < sa.tuple_(value, last) if descending else None
        wanted = wanted.where(after if after is not None else sa.tuple_(column, key) > sa.tuple_(value, last))
    order = (column.desc(), key.desc()) if descending else (column, key)
    rows = execute(wanted.order_by(*order).limit(request.limit + 1)).all()
    count = rows[0][-3] if rows else connection.scalar(counted) or 0
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    cursor = _write(name, rows[-1][-2], rows[-1][-1]) if more else None
    single = len(described) == 1
    return Page([row[0] if single else row[:-3] for row in rows], count, cursor)


class PreparedList:
    """A list of rows whose statements are built once per shape: for the few lists that are read all the time, building
    a statement costs more than the database's answer.

    `conditions` have bound parameters, named by whoever asks for a page; the other arguments are those of `page`.
    """

    def __init__(
        self,
        statement: sa.Select[*tuple[Any, ...]],
        conditions: Mapping[str, sa.ColumnElement[bool]],
        *,
        columns: Mapping[str, Any],
        key: Any,
        default_sort: str,
    ) -> None:
        self._statement = statement
        self._conditions = conditions
        self._columns = columns
        self._key = key
        self._default_sort = default_sort
        self._shape = functools.lru_cache(256)(self._build)

    def page(self, tx: Tx, wanted: Mapping[str, Any], request: PageRequest) -> Page[Any]:
        """The rows that meet the named conditions, `wanted` being name -> value of its parameter."""
        sort = request.sort or self._default_sort
        name, _ = _sort(sort, self._columns)
        values = {**wanted, "_limit": request.limit + 1}
        if request.cursor is not None:
            values["_value"], values["_last"] = _read(request.cursor, name, self._columns[name].type)
        rows_of, count_of = self._shape(tuple(sorted(wanted)), sort, request.cursor is not None)
        connection = tx.connection()
        rows = connection.execute(rows_of, values).all()
        count = rows[0][-3] if rows else connection.scalar(count_of, dict(wanted)) or 0
        more = len(rows) > request.limit
        rows = rows[: request.limit]
        return Page([row[:-3] for row in rows], count, _write(name, rows[-1][-2], rows[-1][-1]) if more else None)

    def _build(self, names: tuple[str, ...], sort: str, follows: bool) -> tuple[sa.Select[Any], sa.Select[Any]]:
        name, descending = _sort(sort, self._columns)
        column, key = self._columns[name], self._key
        narrowed = self._statement.where(*(self._conditions[one] for one in names))
        counted = narrowed.with_only_columns(sa.func.count(), maintain_column_froms=True)
        kept = sa.type_coerce(column, sa.String) if isinstance(column.type, Moment) else column
        rows = narrowed.add_columns(
            counted.correlate(None).scalar_subquery().label("_count"), kept.label("_sort"), key.label("_key")
        )
        if follows:
            after = sa.tuple_(sa.bindparam("_value", type_=column.type), sa.bindparam("_last", type_=key.type))
            rows = rows.where(sa.tuple_(column, key) < after if descending else sa.tuple_(column, key) > after)
        order = (column.desc(), key.desc()) if descending else (column, key)
        return rows.order_by(*order).limit(sa.bindparam("_limit", type_=sa.Integer)), counted


def _sort(text: str, columns: Mapping[str, Any]) -> tuple[str, bool]:
    name = text.removeprefix("-")
    if name not in columns:
        raise Invalid({"sort": [f"must be one of {', '.join(sorted(columns))}, with - before it for descending"]})
    return name, text.startswith("-")


def _write(name: str, value: Any, last: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([name, value, last])).decode().rstrip("=")


def _read(cursor: str, name: str, kind: sa.types.TypeEngine[Any]) -> tuple[Any, str]:
    try:
        of, value, last = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if of != name or not isinstance(last, str):
            raise ValueError
        return _storable(value, datetime if isinstance(kind, Moment) else kind.python_type), _storable(last, str)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise Invalid({"cursor": ["is not a cursor of this list"]}) from error


def _storable(value: Any, kind: type[Any]) -> Any:
    """A cursor comes from outside: whatever no column could hold must not reach the database, which would choke."""
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    too_big = isinstance(value, int) and value.bit_length() > _INTEGER
    if type(value) is not kind or too_big or (isinstance(value, str) and "\0" in value):
        raise ValueError
    return value
