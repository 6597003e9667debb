"""Which containers in tenants' pools are to be looked at, as a listing does not tell whether one is privileged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db.models import Guest, InventoryGuest, Operation, Tenant
from app.db.session import Tx, now
from app.domain.guests import GuestKind
from app.domain.operations import OPEN_STATES


@dataclass(frozen=True)
class Due:
    """A container in a tenant's pool, whoever made it."""

    vmid: int
    node: str
    name: str
    running: bool
    tenant: str


def take_due(tx: Tx, cluster: str, *, most: int, rest: timedelta) -> Sequence[Due]:
    """The containers that were never looked at, or changed since; where there is none, the one that was looked at
    longest ago, if that is longer than `rest`. They count as looked at from now on: see `look_again`.

    A container with an open operation is left to that, one whose node is silent until it is back.
    """
    rows = _in_tenants_pools(cluster)
    never = InventoryGuest.looked_at.is_(None)
    found = tx.execute(rows.where(never).order_by(InventoryGuest.vmid).limit(most)).all()
    if not found:
        long_ago = InventoryGuest.looked_at < now() - rest
        found = tx.execute(rows.where(long_ago).order_by(InventoryGuest.looked_at).limit(1)).all()
    for row, _ in found:
        row.looked_at = now()
    return [Due(row.vmid, row.node, row.name, row.status == "running", tenant) for row, tenant in found]


def look_again(tx: Tx, cluster: str, vmids: Sequence[int]) -> None:
    """These were not seen, or have changed."""
    tx.execute(
        sa.update(InventoryGuest)
        .where(InventoryGuest.cluster_id == cluster, InventoryGuest.vmid.in_(vmids))
        .values(looked_at=None)
    )


def doubt_since(tx: Tx, moment: datetime) -> None:
    """What counted as looked at since then may never have been: a sweep was broken off, perhaps with its worker."""
    tx.execute(sa.update(InventoryGuest).where(InventoryGuest.looked_at >= moment).values(looked_at=None))


def note(tx: Tx, cluster: str, due: Due, *, privileged: bool) -> tuple[Guest | None, bool]:
    """Write what a look has shown. Returns our guest, where it is one, and whether this is news to its tenant."""
    seen = tx.get(InventoryGuest, {"cluster_id": cluster, "vmid": due.vmid})
    news = seen is not None and privileged and seen.privileged_in != due.tenant
    if seen is not None:
        seen.privileged_in = due.tenant if privileged else None
    guest = tx.scalars(
        sa.select(Guest)
        .where(Guest.cluster_id == cluster, Guest.vmid == due.vmid, Guest.kind == GuestKind.CT)
        .with_for_update()
    ).first()
    if guest is not None and guest.unprivileged is privileged:
        guest.unprivileged, guest.changed_at = not privileged, now()
    return guest, news


def _in_tenants_pools(cluster: str) -> sa.Select[InventoryGuest, str]:
    busy = sa.exists().where(
        Guest.cluster_id == cluster, Guest.vmid == InventoryGuest.vmid, Operation.guest_id == Guest.id,
        Operation.state.in_(OPEN_STATES),
    )  # fmt: skip
    same_pool = sa.and_(Tenant.cluster_id == InventoryGuest.cluster_id, Tenant.poolid == InventoryGuest.poolid)
    return (
        sa.select(InventoryGuest, Tenant.id)
        .join(Tenant, same_pool)
        .where(
            InventoryGuest.cluster_id == cluster, InventoryGuest.kind == GuestKind.CT,
            InventoryGuest.status.in_(("running", "stopped")), ~busy,
        )
    )  # fmt: skip
