"""Security groups of the clusters' firewalls."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table, Uuid


class SecurityGroup(Table):
    """Administrators', in PVE under the same name; `rules` as PVE has them since our last change."""

    __tablename__ = "security_groups"

    id: Mapped[Key]
    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(sa.String(18))
    comment: Mapped[str]
    rules: Mapped[list[Any]]
    published: Mapped[bool]
    state: Mapped[str]
    created_at: Mapped[Created]

    __table_args__ = (sa.UniqueConstraint("cluster_id", "name"),)


class SecurityGroupTenant(Table):
    """A tenant that may use a group which is not everybody's."""

    __tablename__ = "security_group_tenants"

    group_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("security_groups.id", ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
