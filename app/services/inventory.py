"""The inventory: one reading of each cluster per interval, for everybody who lists.

Only PVE's own answer counts: a cluster that is away leaves everything as it was, with its age; a guest is `missing`
when two readings in a row did without it; a reading that began before a change of ours does not undo that change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import structlog

from app.db import clusters, guests, operations, quota, strays
from app.db.models import Cluster, Guest, InventoryGuest, Node, Storage
from app.db.session import Database, Tx, now
from app.domain.errors import PveError
from app.domain.guests import GuestState
from app.domain.identifiers import NodeName, StorageId
from app.domain.quota import Dimension
from app.policy import quota as quota_rules
from app.pve import Pve, ResourceGuest, Resources
from app.sagas.credentials import Credentials

MEDIA = ("iso", "vztmpl")

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
                _write_guests(tx, cluster, resources.guests, began)
                if restarted := self._restarted(cluster.id, resources.guests):
                    strays.look_again(tx, cluster.id, restarted)
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


def _write_guests(tx: Tx, cluster: Cluster, seen: Iterable[ResourceGuest], began: datetime) -> None:
    now_there = {int(guest.vmid): guest for guest in seen}
    before = clusters.seen_vmids(tx, cluster.id)
    rows = [_seen(guest) for guest in now_there.values()]
    clusters.replace(tx, cluster.id, InventoryGuest, ("vmid",), rows, on_change={"looked_at": None})
    busy = operations.guests_with_open(tx)
    for row in guests.of_cluster(tx, cluster.id):
        if row.id in busy or row.changed_at > began:
            continue
        there = now_there.get(row.vmid)
        if there is not None:
            _follow(tx, row, there)
        elif row.vmid not in before and row.state != GuestState.MISSING:
            log.warning("guest.missing", guest=row.id, vmid=row.vmid)
            row.state, row.changed_at = GuestState.MISSING, now()


def _follow(tx: Tx, row: Guest, there: ResourceGuest) -> None:
    """Write what PVE says of a guest of ours, where it differs; the running quota follows the state."""
    state = GuestState.RUNNING if there.status == "running" else GuestState.STOPPED
    if there.status not in ("running", "stopped"):
        state = GuestState.UNKNOWN
    if state == GuestState.RUNNING and row.state in (GuestState.PAUSED, GuestState.SUSPENDED):
        state = GuestState(row.state)
    facts: dict[str, Any] = {"state": state, "node": there.node, "locked": bool(there.lock), "template": there.template}
    if all(getattr(row, name) == value for name, value in facts.items()):
        return
    for name, value in facts.items():
        setattr(row, name, value)
    row.changed_at = now()
    if state == GuestState.STOPPED:
        row.addresses = []
        quota.release(tx, row.tenant_id, row.id, (Dimension.RUNNING_CORES, Dimension.RUNNING_MEMORY))
    elif state == GuestState.RUNNING:
        quota.allocate(tx, row, quota_rules.of_running(cores=row.cores, memory=row.memory))


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
