"""Guests, their numbers, and the list that is ready to be sent."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from app.db import clusters, paging
from app.db.models import Allocation, Backup, Cluster, Guest, GuestTag, InventoryGuest, Operation, VmidClaim
from app.db.models.guests import moment_text
from app.db.session import Tx, now
from app.domain.access import TenantScope
from app.domain.errors import CapacityExceeded, Conflict, Invalid, NotFound
from app.domain.guests import GuestKind, GuestState, Standing
from app.domain.identifiers import MalformedIdentifier, VmId
from app.domain.operations import OPEN_STATES, OperationState
from app.domain.paging import Page, PageRequest
from app.domain.tenants import PoolMember

COLUMNS: dict[str, Any] = {
    "created_at": Guest.created_at,
    "name": Guest.name,
    "vmid": Guest.vmid,
    "state": Guest.state,
    "cores": Guest.cores,
    "memory": Guest.memory,
}

#: Of these PVE may have nothing, as we know ourselves.
UNSETTLED = frozenset({GuestState.CREATING, GuestState.DELETING, GuestState.FAILED, GuestState.MISSING})


def find(tx: Tx, scope: TenantScope, kind: GuestKind, ref: str) -> Guest:
    """By public id or vmid. Raises NotFound for what is not there, of the other kind, or outside the scope, Conflict
    `guest.ambiguous`."""
    rows = tx.scalars(sa.select(Guest).where(Guest.kind == kind, _by_ref(ref)))
    found = [row for row in rows if scope.contains(row.tenant_id)]
    if not found:
        raise NotFound
    if len(found) > 1:
        raise _ambiguous()
    return found[0]


def among(tx: Tx, scope: TenantScope, wanted: Collection[str]) -> dict[str, Guest]:
    """By what each was named: public id or vmid. What is not there or outside the scope is left out.

    Raises Conflict `guest.ambiguous` for a vmid that guests of several clusters in the scope have.
    """
    vmids = {VmId.parse(one) for one in wanted if one.isdigit()}
    named = sa.or_(Guest.id.in_(set(wanted)), Guest.vmid.in_(vmids))
    rows = [row for row in tx.scalars(sa.select(Guest).where(named)) if scope.contains(row.tenant_id)]
    at = Counter(row.vmid for row in rows)
    if any(at[vmid] > 1 for vmid in vmids):
        raise _ambiguous()
    return {name: row for row in rows for name in (row.id, str(row.vmid)) if name in wanted}


def _ambiguous() -> Conflict:
    return Conflict(
        "Guests of several clusters have this number.", code="guest.ambiguous", remedy="Name the guest by its id."
    )


def again(tx: Tx, guest: Guest) -> Guest:
    """The guest as it is now that its tenant is locked. Raises NotFound where it went in between."""
    row = tx.get(Guest, guest.id, populate_existing=True)
    if row is None:
        raise NotFound
    return row


def get(tx: Tx, guest: str) -> Guest | None:
    """A guest of ours that a saga works on, by id."""
    return tx.get(Guest, guest)


_NODE = sa.select(Guest.node).where(Guest.id == sa.bindparam("guest"))


def node_of(tx: Tx, guest: str) -> str | None:
    """Where the inventory last saw it; None where it is none of ours. Each call to PVE asks it."""
    return tx.connection().scalar(_NODE, {"guest": guest})


def of_tenant(tx: Tx, tenant: str) -> Sequence[Guest]:
    return tx.scalars(sa.select(Guest).where(Guest.tenant_id == tenant).order_by(Guest.vmid)).all()


def tagged(tx: Tx, tenant: str) -> Sequence[sa.Row[str, list[str]]]:
    """Node and tags of each of the tenant's guests."""
    return tx.execute(sa.select(Guest.node, Guest.tags).where(Guest.tenant_id == tenant)).all()


def in_pool(tx: Tx, tenant: str) -> list[PoolMember]:
    """The tenant's guests by their numbers, as its pool shows them."""
    columns = (Guest.id, Guest.vmid, Guest.kind, Guest.name, Guest.node, Guest.state)
    rows = tx.connection().execute(sa.select(*columns).where(Guest.tenant_id == tenant).order_by(Guest.vmid))
    return [PoolMember(*row) for row in rows]


def of_user(tx: Tx, user: str) -> Sequence[Guest]:
    """What he made, in whatever tenant."""
    return tx.scalars(sa.select(Guest).where(Guest.user_id == user).order_by(Guest.tenant_id, Guest.vmid)).all()


def hand_over(tx: Tx, user: str, to: str) -> None:
    """All guests of one user are another's, with what they are charged. Their tenants are locked."""
    for table in (Guest, Allocation):
        tx.execute(sa.update(table).where(table.user_id == user).values(user_id=to))


def of_cluster(tx: Tx, cluster: str) -> Sequence[Guest]:
    return tx.scalars(sa.select(Guest).where(Guest.cluster_id == cluster)).all()


def settled_before(tx: Tx, cluster: str, moment: datetime) -> Sequence[sa.Row[int, str, str]]:
    """vmid, kind and node of those that PVE must have had since then."""
    settled = sa.and_(Guest.cluster_id == cluster, Guest.state.not_in(UNSETTLED), Guest.changed_at < moment)
    return tx.execute(sa.select(Guest.vmid, Guest.kind, Guest.node).where(settled)).all()


def remove(tx: Tx, guest: str, *, rest: timedelta) -> None:
    """Forget a guest with its allocations; its vmid rests before it is given out again. Nothing where it is gone.

    A number whose archives stay behind is never given out again: PVE would let its next guest's tenant read them.
    """
    keeps_archives = tx.scalar(sa.select(sa.exists().where(Backup.guest_id == guest)))
    free_at = None if keeps_archives else now() + rest
    tx.execute(sa.update(VmidClaim).where(VmidClaim.guest_id == guest).values(guest_id=None, free_at=free_at))
    tx.execute(sa.delete(Guest).where(Guest.id == guest))


# -- vmids


def claim_vmid(tx: Tx, cluster: str, guest: str, span: range, wanted: VmId | None, *, field: str = "vmid") -> VmId:
    """A number nobody has: not ours, not resting, not seen in the cluster. Claims of one cluster are made in turn.

    Raises Invalid, naming the field, for a wanted one outside the span, Conflict for a taken one, CapacityExceeded
    where all are used.
    """
    if wanted is not None and wanted not in span:
        raise Invalid({field: [f"must be from {span.start} to {span.stop - 1}, or left out"]})
    clusters.lock(tx, cluster)
    if wanted is not None:
        if not _is_free(tx, cluster, wanted):
            raise Conflict("This vmid is taken.", code="vmid.taken", remedy="Leave it out to get a free one.")
        vmid = wanted
    else:
        vmid = _next_free(tx, cluster, span)
    tx.add(VmidClaim(cluster_id=cluster, vmid=vmid, guest_id=guest))
    tx.flush()
    return vmid


def claim_found(tx: Tx, cluster: str, guest: str, vmid: int) -> None:
    """The number of a guest that stands there already and becomes ours, inside our range or not; it may be resting.

    Raises Conflict where it is another guest's of ours.
    """
    clusters.lock(tx, cluster)
    claim = tx.get(VmidClaim, {"cluster_id": cluster, "vmid": vmid})
    if claim is None:
        tx.add(VmidClaim(cluster_id=cluster, vmid=vmid, guest_id=guest))
    elif claim.guest_id is None:
        claim.guest_id, claim.free_at = guest, None
    else:
        raise Conflict("This vmid is taken.", code="vmid.taken")
    tx.flush()


def _is_free(tx: Tx, cluster: str, vmid: int) -> bool:
    """Nobody's, or rested long enough; then its old claim goes."""
    claim = tx.get(VmidClaim, {"cluster_id": cluster, "vmid": vmid})
    if claim is not None and (claim.free_at is None or claim.free_at > now()):
        return False
    if clusters.seen_guest(tx, cluster, vmid) is not None:
        return False
    if claim is not None:
        tx.delete(claim)
        tx.flush()
    return True


def _next_free(tx: Tx, cluster: str, span: range) -> VmId:
    """The number after the highest that was ever given; only when the span's end is reached are the gaps searched."""
    highest = tx.scalar(
        sa.select(sa.func.max(VmidClaim.vmid)).where(
            VmidClaim.cluster_id == cluster, VmidClaim.vmid.between(span.start, span.stop - 1)
        )
    )
    following = span.start if highest is None else highest + 1
    if following in span and _is_free(tx, cluster, following):
        return VmId(following)
    tx.execute(sa.delete(VmidClaim).where(VmidClaim.cluster_id == cluster, VmidClaim.free_at < now()))
    return _first_free(tx, cluster, span)


def _first_free(tx: Tx, cluster: str, span: range) -> VmId:
    taken = sa.union(
        sa.select(VmidClaim.vmid).where(VmidClaim.cluster_id == cluster),
        sa.select(InventoryGuest.vmid).where(InventoryGuest.cluster_id == cluster),
    ).subquery()
    candidate = sa.union_all(
        sa.select(sa.literal(span.start).label("vmid")),
        sa.select((taken.c.vmid + 1).label("vmid")).where(taken.c.vmid.between(span.start, span.stop - 2)),
    ).subquery()
    found = tx.scalar(
        sa.select(sa.func.min(candidate.c.vmid)).where(
            ~sa.exists(sa.select(taken.c.vmid).where(taken.c.vmid == candidate.c.vmid))
        )
    )
    if found is None:
        raise CapacityExceeded("All vmids of the configured range are in use.", remedy="Ask an administrator.")
    return VmId(found)


# -- by number, whatever the kind


def at_number(tx: Tx, scope: TenantScope, vmid: str) -> Guest:
    """Raises NotFound, and Conflict `guest.ambiguous`."""
    try:
        number = str(VmId.parse(vmid))
    except MalformedIdentifier:
        raise NotFound from None
    found = among(tx, scope, [number])
    if number not in found:
        raise NotFound
    return found[number]


def standing(tx: Tx, tenant: str) -> Sequence[Standing]:
    """The tenant's guests but for its templates, newest last, with what is open on each: one query."""
    open_one = sa.and_(Operation.guest_id == Guest.id, Operation.state.in_(OPEN_STATES))
    columns = (
        Guest.id, Guest.vmid, Guest.name, Guest.kind, Guest.state, Guest.cores, Guest.memory, Guest.disk_gb,
        Guest.created_at,
    )  # fmt: skip
    statement = (
        sa.select(*columns, Operation.type, Operation.state, Operation.parameters)
        .outerjoin(Operation, open_one)
        .where(Guest.tenant_id == tenant, Guest.template.is_(False))
        .order_by(Guest.created_at, Guest.id)
    )
    found = []
    for row in tx.execute(statement):
        doing, state, parameters = row[9:]
        one = Standing(*row[:9], doing=doing, stuck=state == OperationState.STUCK)
        going_on = state in (OperationState.PENDING, OperationState.RUNNING)
        change = parameters["change"] if going_on and doing.endswith(".change") else None
        found.append(_changed(one, change, parameters["before"]["disk_gb"]) if change is not None else one)
    return found


def _changed(one: Standing, change: Mapping[str, Any], disk_gb: int) -> Standing:
    return dataclasses.replace(
        one, cores=change["cores"] or one.cores, memory=change["memory"] or one.memory,
        disk_gb=disk_gb + change["disk_increment_gb"],
    )  # fmt: skip


# -- counts


def states(tx: Tx, scope: TenantScope, cluster: str) -> dict[str, int]:
    """State -> how many guests of these tenants have it in a cluster."""
    inside = sa.true() if scope.tenants is None else Guest.tenant_id.in_(scope.tenants)
    statement = sa.select(Guest.state, sa.func.count()).where(inside, Guest.cluster_id == cluster)
    rows = tx.execute(statement.group_by(Guest.state).order_by(Guest.state))
    return {row[0]: row[1] for row in rows}


def unmanaged(tx: Tx, cluster: str) -> int:
    """How many guests were last seen in a cluster that are none of ours."""
    ours = sa.select(Guest.vmid).where(Guest.cluster_id == cluster)
    others = sa.select(sa.func.count()).where(InventoryGuest.cluster_id == cluster, InventoryGuest.vmid.not_in(ours))
    return tx.scalar(others) or 0


# -- lists


def page(tx: Tx, scope: TenantScope, kind: GuestKind, wanted: Mapping[str, Any], request: PageRequest) -> Page[bytes]:
    """GUEST documents, ready to be sent: the one kept with each row, and when its cluster was last observed.

    `wanted` is made by `narrowed`.
    """
    inside = {} if scope.tenants is None else {"scope": sorted(scope.tenants)}
    rows = _LIST.page(tx, {"kind": kind, **inside, **wanted}, request)
    observed = _observed(tx)
    return Page([_dated(document, observed[cluster]) for document, cluster in rows.data], rows.count, rows.next)


def document(tx: Tx, guest: Guest) -> dict[str, Any]:
    """The same GUEST for one guest."""
    tx.flush()
    found: dict[str, Any] = orjson.loads(_dated(guest.document, _observed(tx)[guest.cluster_id]))
    return found


def narrowed(
    *,
    tenant: str | None,
    node: str | None,
    state: str | None,
    name: str | None,
    tag: str | None,
    template: bool | None,
    unprivileged: bool | None,
) -> dict[str, Any]:
    """What a list is narrowed to. `name` is part of the name, whatever its case; `tag` is a whole tag."""
    named = None if name is None else f"%{_plain(name.lower())}%"
    asked = {
        "tenant": tenant, "node": node, "state": state, "name": named, "tag": tag, "template": template,
        "unprivileged": unprivileged,
    }  # fmt: skip
    return {condition: value for condition, value in asked.items() if value is not None}


def _plain(text: str) -> str:
    """The text in a LIKE, where nothing of it is a wildcard."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


_LIST = paging.PreparedList(
    sa.select(Guest.document, Guest.cluster_id),
    {
        "kind": Guest.kind == sa.bindparam("kind"),
        "scope": Guest.tenant_id.in_(sa.bindparam("scope", expanding=True)),
        "tenant": Guest.tenant_id == sa.bindparam("tenant"),
        "node": Guest.node == sa.bindparam("node"),
        "state": Guest.state == sa.bindparam("state"),
        "name": Guest.folded.like(sa.bindparam("name"), escape="/"),
        "tag": Guest.id.in_(sa.select(GuestTag.guest_id).where(GuestTag.tag == sa.bindparam("tag"))),
        "template": Guest.template == sa.bindparam("template"),
        "unprivileged": Guest.unprivileged == sa.bindparam("unprivileged"),
    },
    columns=COLUMNS,
    key=Guest.id,
    default_sort="created_at",
)
_OBSERVED = sa.select(Cluster.id, Cluster.observed_at)
_WIDTH_OF_MOMENT = 27


def _observed(tx: Tx) -> dict[str, str]:
    """Cluster -> when it was last read, as a document tells it; empty where it never was."""
    rows = tx.connection().execute(_OBSERVED)
    return {cluster: moment_text(at) if at is not None else "" for cluster, at in rows}


def _dated(kept: str, observed: str) -> bytes:
    end = -_WIDTH_OF_MOMENT - 2
    return (kept if kept[end:-2] >= observed else f'{kept[:end]}{observed}"}}').encode()


def _by_ref(ref: str) -> sa.ColumnElement[bool]:
    try:
        return Guest.vmid == VmId.parse(ref)
    except MalformedIdentifier:
        pass
    try:
        return Guest.id == str(UUID(ref))
    except ValueError:
        raise NotFound from None
