"""Plans, and the groups of users and tenants to whom they apply."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table, Uuid


class Plan(Table):
    """`limits` by dimension, unlimited ones left out; `flavors` are ids; null: it says nothing."""

    __tablename__ = "plans"

    id: Mapped[Key]
    name: Mapped[str]
    canonical: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    limits: Mapped[dict[str, Any]]
    storages: Mapped[list[str] | None]
    default_storage: Mapped[str | None]
    bridges: Mapped[list[str] | None]
    default_bridge: Mapped[str | None]
    vlan: Mapped[int | None] = mapped_column(unique=True)
    flavors: Mapped[list[str] | None]
    created_at: Mapped[Created]


class Group(Table):
    """Users and tenants name the one that they are in."""

    __tablename__ = "groups"

    id: Mapped[Key]
    name: Mapped[str]
    canonical: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    plan_id: Mapped[Uuid | None] = mapped_column(sa.ForeignKey("plans.id"), index=True)
    ldap_filter: Mapped[str | None]
    created_at: Mapped[Created]
