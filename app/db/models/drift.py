"""What stands in PVE otherwise than was agreed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Key, Table, Uuid
from app.db.session import now


class Drift(Table):
    """At most one row for each guest of a cluster; it goes with its guest. `guest_id` null: none of ours."""

    __tablename__ = "drift"

    id: Mapped[Key]
    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id", ondelete="CASCADE"))
    vmid: Mapped[int]
    kind: Mapped[str]
    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    guest_id: Mapped[str | None] = mapped_column(
        sa.String(36), sa.ForeignKey("guests.id", ondelete="CASCADE"), unique=True
    )
    node: Mapped[str]
    guest_kind: Mapped[str] = mapped_column(sa.String(2))
    name: Mapped[str]
    differences: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (sa.UniqueConstraint("cluster_id", "vmid"),)
