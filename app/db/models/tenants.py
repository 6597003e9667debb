"""Tenants, their limits, what they use, the catalog, the audit log."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.table import Created, Key, Table, Uuid
from app.db.session import now


class Tenant(Table):
    """`token_secret` is the tenant's own PVE token, encrypted; it is null until the creating saga has made it."""

    __tablename__ = "tenants"

    id: Mapped[Key]
    name: Mapped[str]
    canonical: Mapped[str] = mapped_column(unique=True)
    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id"))
    poolid: Mapped[str]
    pve_user: Mapped[str]
    token_id: Mapped[str]
    token_secret: Mapped[str | None]
    state: Mapped[str]
    suspended: Mapped[bool] = mapped_column(default=False)
    comment: Mapped[str]
    storages: Mapped[list[str]]
    bridges: Mapped[list[str]]
    plan_id: Mapped[Uuid | None] = mapped_column(sa.ForeignKey("plans.id"), index=True)
    group_id: Mapped[Uuid | None] = mapped_column(sa.ForeignKey("groups.id"), index=True)
    created_at: Mapped[Created]

    __table_args__ = (sa.UniqueConstraint("cluster_id", "poolid"), sa.UniqueConstraint("cluster_id", "pve_user"))


class QuotaLimit(Table):
    """A limit of a tenant (`user_id` empty) or of one user in it, before that of a plan; `amount` null: unlimited.
    No row: as the plan has it, and unlimited where there is none."""

    __tablename__ = "quota_limits"

    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[Uuid] = mapped_column(primary_key=True, default="")
    dimension: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    amount: Mapped[int | None] = mapped_column(sa.BigInteger)


class Allocation(Table):
    """What one guest takes of its tenant's, and its maker's, quota: the ledger."""

    __tablename__ = "allocations"

    guest_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True)
    dimension: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id", ondelete="CASCADE"))
    user_id: Mapped[Uuid]
    amount: Mapped[int] = mapped_column(sa.BigInteger)

    __table_args__ = (
        sa.Index("ix_allocations_tenant", "tenant_id", "dimension", "user_id", "amount"),
        sa.CheckConstraint("amount >= 0", name="not_negative"),
    )


class Flavor(Table):
    """A named size: cores, memory (MiB) and disk (GiB)."""

    __tablename__ = "flavors"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    cores: Mapped[int]
    memory: Mapped[int]
    disk_gb: Mapped[int]
    description: Mapped[str]
    created_at: Mapped[Created]


class Template(Table):
    """A catalog entry: a container's archive or an ISO image (`volid`), or a VM that is a template (`vmid`)."""

    __tablename__ = "templates"

    id: Mapped[Key]
    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id", ondelete="CASCADE"))
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(sa.String(2))
    description: Mapped[str]
    volid: Mapped[str | None]
    vmid: Mapped[int | None]
    category: Mapped[str] = mapped_column(default="os")
    logo_url: Mapped[str | None]
    cores: Mapped[int] = mapped_column(default=1)
    memory: Mapped[int] = mapped_column(default=512)
    disk_gb: Mapped[int]
    published: Mapped[bool]
    created_at: Mapped[Created]

    __table_args__ = (sa.UniqueConstraint("cluster_id", "name"),)


class AuditEntry(Table):
    """Who did what, to whom, with which result. Rows are only ever added."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    actor: Mapped[str]
    action: Mapped[str]
    tenant_id: Mapped[str | None] = mapped_column(index=True)
    guest_id: Mapped[str | None]
    operation_id: Mapped[str | None]
    subject: Mapped[str | None]
    result: Mapped[str]
    address: Mapped[str]
    request_id: Mapped[str]
