"""Clusters and what the inventory last saw in them. `observed_*` tables are written by the refresher only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table, Uuid


class Cluster(Table):
    """A PVE cluster. `secret` is the admin token's, encrypted; `observed_at` is when the inventory last heard from it,
    `unreachable` why it did not the last time."""

    __tablename__ = "clusters"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    ca_pem: Mapped[str | None]
    fingerprint: Mapped[str | None]
    token_id: Mapped[str]
    secret: Mapped[str]
    is_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[Created]
    observed_at: Mapped[datetime | None]
    unreachable: Mapped[str | None]


class _Observed:
    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id", ondelete="CASCADE"), primary_key=True)


class Node(_Observed, Table):
    """Sizes in bytes. `bridges` is what guests' cards may be put on there; None where the node has not told yet."""

    __tablename__ = "observed_nodes"

    name: Mapped[str] = mapped_column(primary_key=True)
    online: Mapped[bool]
    cores: Mapped[int]
    memory: Mapped[int] = mapped_column(sa.BigInteger)
    memory_used: Mapped[int] = mapped_column(sa.BigInteger)
    bridges: Mapped[list[str] | None]


class Storage(_Observed, Table):
    """A storage as one node has it; a shared one stands there once per node. Sizes in bytes."""

    __tablename__ = "observed_storages"

    node: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    shared: Mapped[bool]
    available: Mapped[bool]
    content: Mapped[list[str]]
    total: Mapped[int] = mapped_column(sa.BigInteger)
    used: Mapped[int] = mapped_column(sa.BigInteger)


class Volume(_Observed, Table):
    """An installation medium (ISO image or container template) and a node that has it."""

    __tablename__ = "observed_volumes"

    node: Mapped[str] = mapped_column(primary_key=True)
    volid: Mapped[str] = mapped_column(primary_key=True)
    storage: Mapped[str]
    content: Mapped[str]
    size: Mapped[int] = mapped_column(sa.BigInteger)


class InventoryGuest(_Observed, Table):
    """Every guest of the cluster, ours or not, as `/cluster/resources` last told.

    `looked_at` is when a container's config was last read for what that does not tell; null since it changed.
    `privileged_in` is the tenant that holds it though it is privileged. `compared_at` is when it was last held against
    what was agreed on for it, where it is one of ours; null since it changed.
    """

    __tablename__ = "observed_guests"

    vmid: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    name: Mapped[str]
    node: Mapped[str]
    status: Mapped[str]
    poolid: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    looked_at: Mapped[datetime | None]
    privileged_in: Mapped[str | None]
    compared_at: Mapped[datetime | None]
