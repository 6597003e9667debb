"""Users, their log-ins and their memberships."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table, Uuid


class User(Table):
    __tablename__ = "users"

    id: Mapped[Key]
    username: Mapped[str]
    canonical: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    role: Mapped[str]
    disabled: Mapped[bool] = mapped_column(default=False)
    group_id: Mapped[Uuid | None] = mapped_column(sa.ForeignKey("groups.id"), index=True)
    created_at: Mapped[Created]


class Session(Table):
    """A log-in. It ends when it is deleted; `refresh_id` is the only refresh token that is good now."""

    __tablename__ = "sessions"

    id: Mapped[Key]
    user_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    refresh_id: Mapped[Uuid]
    address: Mapped[str]
    created_at: Mapped[Created]
    expires_at: Mapped[datetime]


class ApiKey(Table):
    """`digest` is the secret's SHA-256: 256 random bits need no slow hash. `last_used_at` is right to a minute."""

    __tablename__ = "api_keys"

    id: Mapped[Key]
    user_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    actions: Mapped[list[str]]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[Created]


class Member(Table):
    __tablename__ = "members"

    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str]
    created_at: Mapped[Created]
