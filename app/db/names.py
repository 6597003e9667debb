"""Rows that are found by id or by name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.domain.tenants import canonical_name


def is_called(table: Any, ref: str) -> sa.ColumnElement[bool]:
    """That a row of the table has this UUID or, in any spelling, this name."""
    try:
        named: sa.ColumnElement[bool] = table.id == str(UUID(ref))
    except ValueError:
        named = table.canonical == canonical_name(ref)
    return named
