"""The host of the local hypervisor, and its catalog of images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table


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


class LocalImage(Table):
    """A file of the catalog, which has the row's id as its name; without a tenant it is everybody's."""

    __tablename__ = "local_images"

    id: Mapped[Key]
    tenant_id: Mapped[str | None] = mapped_column(sa.String(36), sa.ForeignKey("tenants.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(sa.String(64))
    kind: Mapped[str] = mapped_column(sa.String(5))
    size: Mapped[int] = mapped_column(sa.BigInteger)
    virtual_size: Mapped[int] = mapped_column(sa.BigInteger)
    sha256: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[Created]
    created_by: Mapped[str | None] = mapped_column(sa.String(36), sa.ForeignKey("users.id", ondelete="SET NULL"))

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "name"),
        sa.Index(
            "uq_local_images_public_name", "name", unique=True,
            sqlite_where=sa.text("tenant_id IS NULL"), postgresql_where=sa.text("tenant_id IS NULL"),
        ),
    )  # fmt: skip
