"""Run by Alembic, on the connection and inside the transaction that `app.db.schema` opened.

Batch mode writes changes that SQLite's ALTER TABLE lacks as copy and rename; PostgreSQL alters in place.
"""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from app.db.models import Table
from app.db.session import Moment


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """DBOS keeps its tables beside ours; they are its own business."""
    return kind != "table" or name in Table.metadata.tables


def rendered(kind: str, value: Any, autogen: AutogenContext) -> str | Literal[False]:
    """A migration says what the database has, and imports nothing of ours that may change later."""
    if kind == "type" and isinstance(value, Moment):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(value, sa.JSON):
        return "sa.JSON()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    include_name=is_ours,
    render_item=rendered,
    render_as_batch=True,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
