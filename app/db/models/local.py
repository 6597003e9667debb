"""The host of the local hypervisor, and its catalog of images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Table


class LocalHost(Table):
    """One row, once a worker has looked: `facts` are members of a `domain.local.LocalHost`; where there are none, the
    others say why it cannot be used."""

    __tablename__ = "local_host"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    facts: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    code: Mapped[str | None]
    detail: Mapped[str | None]
    remedy: Mapped[str | None]
    observed_at: Mapped[datetime]
