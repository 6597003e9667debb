"""The inventory: one reading of each cluster per interval, for everybody who lists.

Only PVE's own answer counts: a cluster that is away, or whose listing shows nothing of what was known, leaves all as it
was, with its age; a guest is `missing` when two readings in a row did without it and PVE says of its very config that
it is absent; a reading that began before a change of ours does not undo that change.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from app.db import audit, clusters, drift, guests, operations, quota, strays, tenants
from app.db.models import Cluster, Guest, InventoryGuest, Node, Storage
from app.db.session import Database, Tx, now
from app.domain.errors import PveError, PveRefused
from app.domain.guests import GuestKind, GuestState
from app.domain.identifiers import NodeName, StorageId, VmId
from app.domain.storages import MEDIA
from app.pve import Pve, ResourceGuest, Resources
from app.sagas import guest
from app.sagas.credentials import Credentials

#: What is known of a guest beyond its listing counts no more once that differs.
_CHANGED = {"looked_at": None, "compared_at": None}
#: How many guests PVE is asked for, one by one, in a round.
_LOOKS = 20
_RIGHTS = "Look at the rights of the cluster's API token: it must see all nodes and guests."


@dataclass(frozen=True)
class Gone:
    """A guest of ours that two readings in a row did without, and where it was."""

    guest: str
    kind: str
    node: str
    vmid: int


Sighting = ResourceGuest | Gone

log = structlog.get_logger(__name__)


class Inventory:
    def __init__(self, db: Database, credentials: Credentials) -> None:
        self._db = db
        self._credentials = credentials
        self._uptimes: dict[str, Mapping[int, int]] = {}
        self._asked: dict[str, float] = {}

    def refresh(self) -> None:
        """Read every cluster once: nodes, storages, guests."""
        for cluster in self._clusters():
            began = now()
            try:
                pve = self._credentials.as_admin(cluster.id)
                resources = pve.cluster.resources()
                self._believe(cluster, pve, resources, began)
            except PveError as error:
                self._note_unreachable(cluster, error)
                continue
            with self._db.begin() as tx:
                _write_places(tx, cluster, resources)
                changed = _write_guests(tx, cluster, resources.guests)
                if restarted := self._restarted(cluster.id, resources.guests):
                    strays.look_again(tx, cluster.id, restarted)
            self._confirm(pve, changed)
            for tenant, seen in changed.items():
                with self._db.begin() as tx:
                    _follow(tx, tenant, seen, began)
            with self._db.begin() as tx:
                clusters.observed(tx, cluster.id, began)

    def refresh_media(self) -> None:
        """Read which installation media every node has; a node that is away keeps what was last seen."""
        for cluster in self._clusters():
            with self._db.read() as tx:
                shelves = [(s.node, s.name) for s in clusters.storages(tx, cluster.id) if s.available and _has_media(s)]
            pve = self._credentials.as_admin(cluster.id)
            for node, storage in shelves:
                try:
                    seen = _media_on(pve, node, storage)
                except PveError as error:
                    log.info(
                        "inventory.shelf_unseen", cluster=cluster.name, node=node, storage=storage, code=error.code
                    )
                    continue
                with self._db.begin() as tx:
                    clusters.replace_media(tx, cluster.id, node, storage, seen)

    def refresh_bridges(self) -> None:
        """Read which bridges every node has: one call each. One that is away, or tells of none, keeps what was last
        seen."""
        for cluster in self._clusters():
            with self._db.read() as tx:
                online = [node.name for node in clusters.nodes(tx, cluster.id) if node.online]
            pve = self._credentials.as_admin(cluster.id)
            for node in online:
                try:
                    seen = sorted(pve.node(NodeName(node)).bridges())
                except PveError as error:
                    log.info("inventory.bridges_unseen", cluster=cluster.name, node=node, code=error.code)
                    continue
                if seen:
                    with self._db.begin() as tx:
                        clusters.note_bridges(tx, cluster.id, node, seen)

    def _believe(self, cluster: Cluster, pve: Pve, resources: Resources, began: datetime) -> None:
        """Raises PveRefused for a listing that tells more of our rights than of the cluster.

        PVE answers an identity without rights with an empty list, and 200. One that shows none of what was known is
        believed only where PVE says of their configs that they are absent.
        """
        if not resources.nodes:
            raise PveRefused("The cluster's listing has no node.", code="pve.unreadable", remedy=_RIGHTS)
        shown = {guest.vmid for guest in resources.guests}
        with self._db.read() as tx:
            before = clusters.seen_guests(tx, cluster.id)
            ours = guests.settled_before(tx, cluster.id, began)
        for known in (before, ours):
            if not known or any(row.vmid in shown for row in known):
                continue
            if not all(_is_absent(pve, row.kind, row.node, row.vmid) for row in known[:_LOOKS]):
                raise PveRefused("The listing shows no known guest.", code="pve.unreadable", remedy=_RIGHTS)

    def _confirm(self, pve: Pve, changed: Mapping[str, dict[str, Sighting]]) -> None:
        """Of the guests that two readings did without, those stay that PVE says to have no config of: at most `_LOOKS`
        are asked for a round, who was not asked for longest first."""
        gone = [
            (tenant, there) for tenant, seen in changed.items() for there in seen.values() if isinstance(there, Gone)
        ]
        asked = sorted(gone, key=lambda one: self._asked.get(one[1].guest, 0.0))
        for place, (tenant, one) in enumerate(asked):
            absent = False
            if place < _LOOKS:
                self._asked[one.guest] = time.monotonic()
                absent = _is_absent(pve, one.kind, one.node, one.vmid)
            if absent:
                self._asked.pop(one.guest, None)
            else:
                del changed[tenant][one.guest]

    def _restarted(self, cluster: str, seen: Iterable[ResourceGuest]) -> list[int]:
        """Those that were stopped and started between two readings, which both show them running."""
        before = self._uptimes.get(cluster, {})
        self._uptimes[cluster] = {guest.vmid: guest.uptime for guest in seen if guest.status == "running"}
        return [vmid for vmid, uptime in self._uptimes[cluster].items() if uptime < before.get(vmid, 0)]

    def _clusters(self) -> Iterable[Cluster]:
        with self._db.read() as tx:
            return clusters.every(tx)

    def _note_unreachable(self, cluster: Cluster, error: PveError) -> None:
        log.warning("inventory.unreachable", cluster=cluster.name, code=error.code, reason=error.upstream)
        with self._db.begin() as tx:
            clusters.unreachable(tx, cluster.id, error.code)


def _write_places(tx: Tx, cluster: Cluster, resources: Resources) -> None:
    clusters.replace(
        tx, cluster.id, Node, ("name",),
        [
            {
                "name": node.node, "online": node.status == "online", "cores": node.maxcpu, "memory": node.maxmem,
                "memory_used": node.mem,
            }
            for node in resources.nodes
        ],
    )  # fmt: skip
    clusters.replace(
        tx, cluster.id, Storage, ("node", "name"),
        [
            {
                "node": storage.node, "name": storage.storage, "shared": storage.shared,
                "available": storage.status == "available", "content": sorted(storage.content),
                "total": storage.total, "used": storage.used,
            }
            for storage in resources.storages
        ],
    )  # fmt: skip


def _write_guests(tx: Tx, cluster: Cluster, seen: Iterable[ResourceGuest]) -> Mapping[str, dict[str, Sighting]]:
    """Tenant -> its guests that are not as we know them, and how they are."""
    now_there = {int(guest.vmid): guest for guest in seen}
    before = {row.vmid: row.kind for row in clusters.seen_guests(tx, cluster.id)}
    rows = [_seen(guest) for guest in now_there.values()]
    clusters.replace(tx, cluster.id, InventoryGuest, ("vmid",), rows, on_change=_CHANGED)
    changed: dict[str, dict[str, Sighting]] = defaultdict(dict)
    for row in guests.of_cluster(tx, cluster.id):
        there = now_there.get(row.vmid)
        if there is not None and there.kind == row.kind:
            if _differs(row, _facts(row, there)):
                changed[row.tenant_id][row.id] = there
        elif before.get(row.vmid) != row.kind and row.state not in guests.UNSETTLED:
            changed[row.tenant_id][row.id] = Gone(row.id, row.kind, row.node, row.vmid)
    return changed


def _follow(tx: Tx, tenant: str, seen: Mapping[str, Sighting], began: datetime) -> None:
    """Write what PVE says of these guests; the running quota follows their state.

    Whoever asks something of a guest has locked its tenant: what he began, or ended, since the reading began is newer.
    """
    tenants.lock(tx, tenant)
    busy = operations.guests_with_open(tx)
    for row in guests.of_tenant(tx, tenant):
        if row.id not in seen or row.id in busy or row.changed_at > began:
            continue
        there = seen[row.id]
        if isinstance(there, Gone):
            _write_missing(tx, row)
        else:
            _write_facts(tx, row, there)


def _write_missing(tx: Tx, row: Guest) -> None:
    """It stays charged, as it may be put back, until somebody deletes or forgets it; but it does not run."""
    log.warning("guest.missing", guest=row.id, vmid=row.vmid)
    row.state, row.addresses, row.changed_at = GuestState.MISSING, [], now()
    quota.release(tx, row.tenant_id, row.id, guest.RUNNING_DIMENSIONS)
    drift.note_missing(tx, row)
    audit.record_own(
        tx, "guest.drifted", tenant=row.tenant_id, guest=row.id, subject=f"{row.name} (vmid {row.vmid}): missing",
        result="alert",
    )  # fmt: skip


def _write_facts(tx: Tx, row: Guest, there: ResourceGuest) -> None:
    facts = _facts(row, there)
    if not _differs(row, facts):
        return
    for name, value in facts.items():
        setattr(row, name, value)
    row.changed_at = now()
    if row.state == GuestState.STOPPED:
        row.addresses = []
        quota.release(tx, row.tenant_id, row.id, guest.RUNNING_DIMENSIONS)
    elif row.state == GuestState.RUNNING:
        guest.charge_running(tx, row, cores=there.cores, memory=there.memory)


def _facts(row: Guest, there: ResourceGuest) -> Mapping[str, Any]:
    state = GuestState.RUNNING if there.status == "running" else GuestState.STOPPED
    if there.status not in ("running", "stopped"):
        state = GuestState.UNKNOWN
    if state == GuestState.RUNNING and row.state in (GuestState.PAUSED, GuestState.SUSPENDED):
        state = GuestState(row.state)
    return {"state": state, "locked": bool(there.lock), "template": there.template}


def _differs(row: Guest, facts: Mapping[str, Any]) -> bool:
    return any(getattr(row, name) != value for name, value in facts.items())


def _seen(guest: ResourceGuest) -> Mapping[str, Any]:
    return {
        "vmid": int(guest.vmid), "kind": str(guest.kind), "name": guest.name, "node": str(guest.node),
        "status": guest.status, "poolid": guest.pool,
        "facts": {
            "template": guest.template, "lock": guest.lock, "cores": guest.cores, "memory": guest.memory,
            "disk": guest.disk,
        },
    }  # fmt: skip


def _is_absent(pve: Pve, kind: str, node: str, vmid: int) -> bool:
    on = pve.node(NodeName(node))
    try:
        return (on.lxc(VmId(vmid)) if kind == GuestKind.CT else on.qemu(VmId(vmid))).is_absent()
    except PveError as error:
        log.info("inventory.guest_unseen", node=node, vmid=vmid, code=error.code)
        return False


def _has_media(storage: Storage) -> bool:
    return any(content in storage.content for content in MEDIA)


def _media_on(pve: Pve, node: str, storage: str) -> list[dict[str, Any]]:
    rows = pve.node(NodeName(node)).storage_content(StorageId(storage))
    return [{"volid": str(row.volid), "content": row.content, "size": row.size} for row in rows if row.content in MEDIA]
