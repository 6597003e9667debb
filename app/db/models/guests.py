"""Guests and their numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from app.db.models.table import Created, Key, Table, Uuid
from app.db.session import now


class Guest(Table):
    """A guest of a tenant. `memory` MiB, `disk_gb` GiB, as allocated.

    `folded` is the name in small letters, to be searched: rows are long, so what a search looks at lies in one index.
    `document` is the GUEST of the API, kept with the row, so that a list of a thousand guests is a concatenation. Its
    end, of a fixed width, is `observed_at`: the moment of the last change, for which a reader puts the cluster's last
    reading where that is later. The listener below writes both; nobody else does.
    """

    __tablename__ = "guests"

    id: Mapped[Key]
    tenant_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("tenants.id"))
    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id"))
    cluster_name: Mapped[str]
    poolid: Mapped[str]
    user_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("users.id"), index=True)
    vmid: Mapped[int]
    kind: Mapped[str] = mapped_column(sa.String(2))
    name: Mapped[str]
    folded: Mapped[str]
    node: Mapped[str]
    storage: Mapped[str]
    state: Mapped[str]
    cores: Mapped[int]
    memory: Mapped[int]
    disk_gb: Mapped[int]
    template: Mapped[bool] = mapped_column(default=False)
    made_from: Mapped[str | None]
    catalog_id: Mapped[Uuid | None] = mapped_column(sa.ForeignKey("templates.id"))
    tags: Mapped[list[str]]
    addresses: Mapped[list[str]]
    unprivileged: Mapped[bool | None]
    locked: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[Created]
    changed_at: Mapped[datetime] = mapped_column(default=now)
    document: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (
        sa.UniqueConstraint("cluster_id", "vmid"),
        sa.Index("ix_guests_list", "tenant_id", "kind", "created_at", "id", "folded", "state", "node"),
        sa.Index("ix_guests_name", "tenant_id", "kind", "name", "id"),
        sa.Index("ix_guests_kind", "kind", "created_at", "id"),
        sa.Index("ix_guests_count", "tenant_id", "kind"),
    )

    def facts(self) -> dict[str, Any]:
        """The GUEST document without its end."""
        return {
            "id": self.id,
            "vmid": self.vmid,
            "kind": self.kind,
            "name": self.name,
            "tenant": self.tenant_id,
            "poolid": self.poolid,
            "cluster": self.cluster_name,
            "node": self.node,
            "state": self.state,
            "cores": self.cores,
            "memory": self.memory,
            "disk_gb": self.disk_gb,
            "template": self.template,
            "made_from": self.made_from,
            "tags": self.tags,
            "addresses": self.addresses,
            "unprivileged": self.unprivileged,
            "locked": self.locked,
            "created_at": self.created_at,
        }


@event.listens_for(Guest, "before_insert")
@event.listens_for(Guest, "before_update")
def write_document(_mapper: Mapper[Any], _connection: Any, guest: Guest) -> None:
    guest.created_at = guest.created_at or now()
    guest.folded = guest.name.lower()
    guest.template, guest.locked = bool(guest.template), bool(guest.locked)
    guest.changed_at = guest.changed_at or now()
    facts = orjson.dumps(guest.facts(), option=orjson.OPT_UTC_Z).decode()
    guest.document = f'{facts[:-1]},"observed_at":"{moment_text(guest.changed_at)}"}}'


class GuestTag(Table):
    """A guest's tag, to be found by; the listener below writes it, and nobody else."""

    __tablename__ = "guest_tags"

    tag: Mapped[str] = mapped_column(primary_key=True)
    guest_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True, index=True)


@event.listens_for(Guest, "after_insert")
@event.listens_for(Guest, "after_update")
def write_tags(_mapper: Mapper[Any], connection: sa.Connection, guest: Guest) -> None:
    changes = sa.inspect(guest).attrs.tags.history
    if not changes.has_changes():
        return
    if any(changes.deleted or ()):
        connection.execute(sa.delete(GuestTag).where(GuestTag.guest_id == guest.id))
    if guest.tags:
        connection.execute(sa.insert(GuestTag), [{"tag": tag, "guest_id": guest.id} for tag in sorted(set(guest.tags))])


def moment_text(moment: datetime) -> str:
    """27 characters, so that the later of two is the greater text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class VmidClaim(Table):
    """A vmid that is in use by a guest of ours (`guest_id`), or that rests until `free_at` before it is used again;
    with neither it is never used again, as archives of its guest are left."""

    __tablename__ = "vmids"

    cluster_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("clusters.id", ondelete="CASCADE"), primary_key=True)
    vmid: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    guest_id: Mapped[str | None]
    free_at: Mapped[datetime | None]


class Snapshot(Table):
    """A snapshot of a guest, as PVE had it when an operation of ours last looked. `created_at` is PVE's moment once it
    is there; `cores`, `memory` (MiB) and `disk_gb` (GiB) are the guest's at that moment."""

    __tablename__ = "snapshots"

    guest_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("guests.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    description: Mapped[str]
    vmstate: Mapped[bool]
    parent: Mapped[str | None]
    state: Mapped[str]
    cores: Mapped[int]
    memory: Mapped[int]
    disk_gb: Mapped[int]
    created_at: Mapped[Created]


class BackupSchedule(Table):
    """When backups of a guest are taken, and how many of them stay. `user_id` is with whose rights. `going` is the
    backup whose deletion was asked for last: one that cannot be deleted is not asked for again before the next."""

    __tablename__ = "backup_schedules"

    id: Mapped[Key]
    guest_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("guests.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    at: Mapped[str] = mapped_column(sa.String(5))
    days: Mapped[list[str]]
    keep: Mapped[int]
    mode: Mapped[str]
    compress: Mapped[str]
    notes: Mapped[str]
    storage: Mapped[str | None]
    next_at: Mapped[datetime] = mapped_column(index=True)
    last_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    going: Mapped[str | None]
    created_at: Mapped[Created]


class Backup(Table):
    """A backup of a guest. `node` is where it was taken; `volid` is known, and `size` (bytes), once it is there.
    `cores`, `memory` (MiB) and `disk_gb` (GiB) are what the archive says of the guest."""

    __tablename__ = "backups"

    id: Mapped[Key]
    guest_id: Mapped[Uuid] = mapped_column(sa.ForeignKey("guests.id", ondelete="CASCADE"), index=True)
    storage: Mapped[str]
    node: Mapped[str]
    volid: Mapped[str | None]
    mode: Mapped[str]
    compress: Mapped[str]
    notes: Mapped[str]
    state: Mapped[str]
    size: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    cores: Mapped[int]
    memory: Mapped[int]
    disk_gb: Mapped[int]
    schedule_id: Mapped[str | None] = mapped_column(
        sa.String(36), sa.ForeignKey("backup_schedules.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[Created]
