"""What all tables share: names of constraints, column types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, mapped_column

from app.db.session import Moment, now

Uuid = Annotated[str, mapped_column(sa.String(36))]
Key = Annotated[str, mapped_column(sa.String(36), primary_key=True)]
Created = Annotated[datetime, mapped_column(Moment, default=now)]


class Table(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy reads it from the class
        datetime: Moment,
        dict[str, Any]: sa.JSON,
        list[str]: sa.JSON,
        list[Any]: sa.JSON,
    }
