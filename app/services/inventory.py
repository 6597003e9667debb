"""The inventory: one reading of each cluster per interval, for everybody who lists.

Only PVE's own answer counts: a cluster that is away leaves everything as it was, with its age; a guest is `missing`
when two readings in a row did without it; a reading that began before a change of ours does not undo that change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import structlog

from app.db import clusters, guests, operations, quota, strays, tenants
from app.db.models import Cluster, Guest, InventoryGuest, Node, Storage
from app.db.session import Database, Tx, now
from app.domain.errors import PveError
from app.domain.guests import GuestState
from app.domain.identifiers import NodeName, StorageId
from app.pve import Pve, ResourceGuest, Resources
from app.sagas import guest
from app.sagas.credentials import Credentials

MEDIA = ("iso", "vztmpl")

#: None: two readings in a row did without it.
Sighting = ResourceGuest | None

log = structlog.get_logger(__name__)


class Inventory:
    def __init__(self, db: Database, credentials: Credentials) -> None:
        self._db = db
        self._credentials = credentials
        self._uptimes: dict[str, Mapping[int, int]] = {}

    def refresh(self) -> None:
        """Read every cluster once: nodes, storages, guests."""
        for cluster in self._clusters():
            began = now()
            try:
                resources = self._credentials.as_admin(cluster.id).cluster.resources()
            except PveError as error:
                self._note_unreachable(cluster, error)
                continue
            with self._db.begin() as tx:
                _write_places(tx, cluster, resources)
                changed = _write_guests(tx, cluster, resources.guests)
                if restarted := self._restarted(cluster.id, resources.guests):
                    strays.look_again(tx, cluster.id, restarted)
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


def _write_guests(tx: Tx, cluster: Cluster, seen: Iterable[ResourceGuest]) -> Mapping[str, Mapping[str, Sighting]]:
    """Tenant -> its guests that are not as we know them, and how they are."""
    now_there = {int(guest.vmid): guest for guest in seen}
    before = clusters.seen_vmids(tx, cluster.id)
    rows = [_seen(guest) for guest in now_there.values()]
    clusters.replace(tx, cluster.id, InventoryGuest, ("vmid",), rows, on_change={"looked_at": None})
    changed: dict[str, dict[str, Sighting]] = defaultdict(dict)
    for row in guests.of_cluster(tx, cluster.id):
        there = now_there.get(row.vmid)
        gone = there is None and row.vmid not in before and row.state != GuestState.MISSING
        if gone or (there is not None and _differs(row, _facts(row, there))):
            changed[row.tenant_id][row.id] = there
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
        if there is None:
            log.warning("guest.missing", guest=row.id, vmid=row.vmid)
            row.state, row.changed_at = GuestState.MISSING, now()
        else:
            _write_facts(tx, row, there)


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
    return {"state": state, "node": there.node, "locked": bool(there.lock), "template": there.template}


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


def _has_media(storage: Storage) -> bool:
    return any(content in storage.content for content in MEDIA)


def _media_on(pve: Pve, node: str, storage: str) -> list[dict[str, Any]]:
    rows = pve.node(NodeName(node)).storage_content(StorageId(storage))
    return [{"volid": str(row.volid), "content": row.content, "size": row.size} for row in rows if row.content in MEDIA]
