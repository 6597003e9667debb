"""What stands in PVE otherwise than was agreed: found, kept, listed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.db import paging
from app.db.models import Cluster, Drift, Guest, InventoryGuest, Operation, Tenant, VmidClaim
from app.db.session import Tx, now
from app.domain import drift as domain
from app.domain.access import TenantScope
from app.domain.drift import DriftFilter, DriftKind
from app.domain.errors import NotFound
from app.domain.operations import OPEN_STATES
from app.domain.paging import Page, PageRequest
from app.domain.tenants import TenantState

COLUMNS = {"first_seen_at": Drift.first_seen_at, "kind": Drift.kind, "name": Drift.name, "vmid": Drift.vmid}


@dataclass(frozen=True)
class Subject:
    """A guest that drifted; `guest` None: it is none of ours."""

    cluster: str
    vmid: int
    tenant: str
    guest: str | None
    kind: str
    node: str
    name: str


def of_guest(row: Guest) -> Subject:
    return Subject(row.cluster_id, row.vmid, row.tenant_id, row.id, row.kind, row.node, row.name)


# -- looking for it


def due(tx: Tx, cluster: str, *, most: int, rest: timedelta) -> Sequence[tuple[Guest, InventoryGuest]]:
    """Guests of ours that changed in the listing since they were last compared; where there is none, the one that was
    compared longest ago, if that is longer than `rest`. One with an open operation is left to that."""
    busy = sa.exists().where(Operation.guest_id == Guest.id, Operation.state.in_(OPEN_STATES))
    same = sa.and_(
        InventoryGuest.cluster_id == Guest.cluster_id, InventoryGuest.vmid == Guest.vmid,
        InventoryGuest.kind == Guest.kind,
    )  # fmt: skip
    rows = (
        sa.select(Guest, InventoryGuest)
        .join(InventoryGuest, same)
        .where(Guest.cluster_id == cluster, InventoryGuest.status.in_(("running", "stopped")), ~busy)
    )
    found = tx.execute(rows.where(InventoryGuest.compared_at.is_(None)).order_by(Guest.vmid).limit(most)).all()
    if not found:
        long_ago = InventoryGuest.compared_at < now() - rest
        found = tx.execute(rows.where(long_ago).order_by(InventoryGuest.compared_at).limit(1)).all()
    return [(guest, seen) for guest, seen in found]


def compared(tx: Tx, cluster: str, vmids: Sequence[int]) -> None:
    """These are as was agreed, or it is noted how not."""
    tx.execute(
        sa.update(InventoryGuest)
        .where(InventoryGuest.cluster_id == cluster, InventoryGuest.vmid.in_(vmids))
        .values(compared_at=now())
    )


def compare_again(tx: Tx, guest: Guest) -> None:
    """With the next reading, whether the listing has changed or not: what was agreed has, or may have."""
    tx.execute(
        sa.update(InventoryGuest)
        .where(InventoryGuest.cluster_id == guest.cluster_id, InventoryGuest.vmid == guest.vmid)
        .values(compared_at=None)
    )


def strangers(tx: Tx, cluster: str, *, read_at: datetime, vmid_rest: timedelta) -> Sequence[Subject]:
    """The guests in tenants' pools that nobody made here. One of ours that went after the listing was read is none."""
    same_pool = sa.and_(Tenant.cluster_id == InventoryGuest.cluster_id, Tenant.poolid == InventoryGuest.poolid)
    ours = sa.exists().where(Guest.cluster_id == InventoryGuest.cluster_id, Guest.vmid == InventoryGuest.vmid)
    just_gone = sa.exists().where(
        VmidClaim.cluster_id == InventoryGuest.cluster_id, VmidClaim.vmid == InventoryGuest.vmid,
        VmidClaim.free_at >= read_at + vmid_rest,
    )  # fmt: skip
    rows = tx.execute(
        sa.select(InventoryGuest, Tenant.id)
        .join(Tenant, same_pool)
        .where(InventoryGuest.cluster_id == cluster, Tenant.state == TenantState.ACTIVE, ~ours, ~just_gone)
    ).all()
    return [Subject(cluster, seen.vmid, tenant, None, seen.kind, seen.node, seen.name) for seen, tenant in rows]


def noted_strangers(tx: Tx, cluster: str) -> Sequence[Drift]:
    return tx.scalars(sa.select(Drift).where(Drift.cluster_id == cluster, Drift.guest_id.is_(None))).all()


# -- keeping it


def known(tx: Tx, cluster: str, vmid: int) -> Drift | None:
    return tx.scalars(sa.select(Drift).where(Drift.cluster_id == cluster, Drift.vmid == vmid)).first()


def vmids(tx: Tx, cluster: str) -> set[int]:
    """The numbers of all that have drifted."""
    return set(tx.scalars(sa.select(Drift.vmid).where(Drift.cluster_id == cluster)))


def note(tx: Tx, subject: Subject, kind: DriftKind | None, differences: Mapping[str, Any]) -> bool:
    """Keep how a guest has drifted (None: it has not). Whether that is news."""
    row = known(tx, subject.cluster, subject.vmid)
    if kind is None:
        if row is not None:
            tx.delete(row)
        return row is not None
    if row is None or (row.guest_id, row.tenant_id) != (subject.guest, subject.tenant):
        if row is not None:
            tx.delete(row)
            tx.flush()
        row = Drift(id=str(uuid.uuid4()), cluster_id=subject.cluster, vmid=subject.vmid, differences={}, kind="")
        tx.add(row)
    news = (row.kind, row.differences) != (str(kind), dict(differences))
    row.kind, row.differences, row.tenant_id, row.guest_id = str(kind), dict(differences), subject.tenant, subject.guest
    row.node, row.guest_kind, row.name = subject.node, subject.kind, subject.name
    tx.flush()
    return news


def note_missing(tx: Tx, guest: Guest) -> None:
    """What was agreed on before stays known, should it come back."""
    row = known(tx, guest.cluster_id, guest.vmid)
    note(tx, of_guest(guest), DriftKind.MISSING, row.differences if row is not None else {})


def has_left_its_pool(tx: Tx, guest: str) -> bool:
    """As far as the last reading knows."""
    row = tx.scalars(sa.select(Drift).where(Drift.guest_id == guest)).first()
    return row is not None and "pool" in row.differences


# -- telling it


def get(tx: Tx, scope: TenantScope, drift: str) -> Drift:
    """As it is now. Raises NotFound for what is not there, and for what lies outside the scope."""
    row = tx.get(Drift, drift, populate_existing=True)
    if row is None or not scope.contains(row.tenant_id):
        raise NotFound
    return row


def page(tx: Tx, scope: TenantScope, wanted: DriftFilter, request: PageRequest) -> Page[domain.Drift]:
    """`wanted.tenant` is an id."""
    statement = sa.select(Drift)
    if scope.tenants is not None:
        statement = statement.where(Drift.tenant_id.in_(scope.tenants))
    for column, value in ((Drift.tenant_id, wanted.tenant), (Drift.kind, wanted.kind)):
        if value is not None:
            statement = statement.where(column == value)
    rows = paging.page(tx, statement, columns=COLUMNS, key=Drift.id, default_sort="-first_seen_at", request=request)
    names = {cluster.id: cluster.name for cluster in tx.scalars(sa.select(Cluster))}
    return Page([_view(row, names[row.cluster_id]) for row in rows.data], rows.count, rows.next)


def _view(row: Drift, cluster: str) -> domain.Drift:
    return domain.Drift(
        id=row.id, kind=DriftKind(row.kind), tenant=row.tenant_id, guest=row.guest_id, cluster=cluster, node=row.node,
        vmid=row.vmid, guest_kind=row.guest_kind, name=row.name, differences=row.differences,
        first_seen_at=row.first_seen_at,
    )  # fmt: skip
