"""The keeper's comparison of what was agreed with what the inventory's last reading shows.

A listing tells name, size, pool and node; where it says otherwise than our row, the config decides, as a listing may
have old values, a container's file system for its disk, and nothing of further disks. Configs are read only of those
whose listing has changed, at most `_LOOKS` a round, and of the one that was compared longest ago, if that is an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from app.db import audit, clusters, drift, guests, operations, quota, tenants
from app.db.models import Guest, InventoryGuest
from app.db.session import Database, Tx
from app.domain.drift import Difference, DriftKind
from app.domain.errors import PveError
from app.domain.guests import GuestKind
from app.domain.identifiers import NodeName, VmId
from app.domain.quota import Dimension
from app.policy import drift as rules
from app.policy import quota as quota_rules
from app.sagas import guest
from app.sagas.credentials import Credentials

_DUE, _LOOKS = 500, 50
_REST = timedelta(hours=1)
_GIB = 2**30
_CHARGED = {"cores": Dimension.CORES, "memory": Dimension.MEMORY, "disk_gb": Dimension.DISK_GB}

_DRIFTED = "guest.drifted"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Shown:
    """A guest of ours: `row` and `home` (pool, node) as we have it, `listed` and `place` as the last reading does."""

    guest: str
    tenant: str
    vmid: int
    kind: str
    changed_at: datetime
    row: Mapping[str, Any]
    home: tuple[str | None, str]
    listed: Mapping[str, Any]
    place: tuple[str | None, str]

    @classmethod
    def of(cls, row: Guest, seen: InventoryGuest) -> Shown:
        facts = seen.facts
        listed = {
            "name": seen.name, "cores": facts["cores"], "memory": facts["memory"], "disk_gb": facts["disk"] // _GIB
        }  # fmt: skip
        ours = {field: getattr(row, field) for field in rules.FIELDS}
        return cls(
            row.id, row.tenant_id, row.vmid, row.kind, row.changed_at, ours, (row.poolid, row.node), listed,
            (seen.poolid, seen.node),
        )  # fmt: skip


class Comparison:
    """`vmid_rest` is how many seconds a freed vmid rests."""

    def __init__(self, db: Database, credentials: Credentials, *, vmid_rest: int) -> None:
        self._db = db
        self._credentials = credentials
        self._vmid_rest = timedelta(seconds=vmid_rest)
        self._compared: dict[str, datetime] = {}

    def compare(self) -> None:
        """Every cluster, once a reading of it."""
        with self._db.read() as tx:
            read = {row.id: row.observed_at for row in clusters.every(tx) if row.unreachable is None}
        for cluster, read_at in read.items():
            if read_at is not None and self._compared.get(cluster) != read_at:
                self._compare_guests(cluster, read_at)
                self._compare_pools(cluster, read_at)
                self._compared[cluster] = read_at

    def _compare_guests(self, cluster: str, read_at: datetime) -> None:
        with self._db.read() as tx:
            due = drift.due(tx, cluster, most=_DUE, rest=_REST)
            again = {seen.vmid for _, seen in due if seen.compared_at is not None} | drift.vmids(tx, cluster)
            shown = [Shown.of(row, seen) for row, seen in due if _is_settled(row, read_at)]
            pools = tenants.pools(tx, cluster)
        as_agreed, looks = [], 0
        for one in shown:
            found: Mapping[str, Any] | None = one.row
            if one.vmid in again or one.listed != one.row:
                if looks == _LOOKS:
                    continue
                looks += 1
                found = self._config(cluster, one)
            elif one.place == one.home:
                as_agreed.append(one.vmid)
                continue
            if found is not None:
                with self._db.begin() as tx:
                    _write(tx, one, found, pools)
        if as_agreed:
            with self._db.begin() as tx:
                drift.compared(tx, cluster, as_agreed)

    def _config(self, cluster: str, one: Shown) -> Mapping[str, Any] | None:
        """What PVE gives the guest at its next start; None where it cannot be told now."""
        node = one.place[1]
        try:
            on = self._credentials.as_admin(cluster).node(NodeName(node))
            config = (on.lxc(VmId(one.vmid)) if one.kind == GuestKind.CT else on.qemu(VmId(one.vmid))).config()
        except PveError as error:
            log.info("drift.unseen", node=node, vmid=one.vmid, code=error.code, reason=error.upstream)
            return None
        if not config.is_whole:
            return None
        return {
            "name": config.name or one.listed["name"],
            **config.size,
            "cores": config.cores or one.listed["cores"],
        }

    def _compare_pools(self, cluster: str, read_at: datetime) -> None:
        with self._db.read() as tx:
            there = drift.strangers(tx, cluster, read_at=read_at, vmid_rest=self._vmid_rest)
            noted = {(row.vmid, row.tenant_id, row.node, row.name) for row in drift.noted_strangers(tx, cluster)}
        now_there = {(one.vmid, one.tenant, one.node, one.name) for one in there}
        if now_there == noted:
            return
        with self._db.begin() as tx:
            for tenant in sorted({one[1] for one in now_there | noted}):
                tenants.lock(tx, tenant)
            vmids = {one.vmid for one in there}
            for row in drift.noted_strangers(tx, cluster):
                if row.vmid not in vmids:
                    tx.delete(row)
            tx.flush()
            for one in there:
                if drift.note(tx, one, DriftKind.UNMANAGED, {}):
                    subject = f"{one.name} ({one.kind} {one.vmid} on {one.node}): unmanaged"
                    audit.record_own(tx, _DRIFTED, tenant=one.tenant, guest=None, subject=subject, result="alert")
                    log.warning("guest.drifted", vmid=one.vmid, tenant=one.tenant, kind="unmanaged")


def _is_settled(row: Guest, read_at: datetime) -> bool:
    """What we did, or saw, since the reading began is newer."""
    return row.state not in guests.UNSETTLED and row.changed_at < read_at


def _write(tx: Tx, one: Shown, found: Mapping[str, Any], pools: Mapping[str, str]) -> None:
    """Row and ledger follow what stands in PVE, whatever the limits; what was agreed is kept, and told.

    Nothing where somebody asked something of the guest, or changed it, since it was looked at.
    """
    tenants.lock(tx, one.tenant)
    row = guests.get(tx, one.guest)
    if row is None or row.changed_at != one.changed_at or operations.open_on(tx, row.id) is not None:
        return
    subject = drift.of_guest(row)
    before = drift.known(tx, row.cluster_id, row.vmid)
    pool, node = one.place
    ours = {**one.row, rules.POOL: row.poolid, rules.NODE: row.node}
    agreed = rules.agreed(ours, before.differences if before is not None else {})
    differing = rules.differences(agreed, {**found, rules.POOL: pool, rules.NODE: node})
    kind = rules.kind_of(differing, pools)
    if found != one.row or node != row.node:
        row.name, row.cores, row.memory, row.disk_gb = (found[field] for field in rules.FIELDS)
        row.node = node
        guest.touch(row)
        _charge(tx, row, one.listed)
    if drift.note(tx, subject, kind, differing):
        _tell(tx, row, kind, differing)
    drift.compared(tx, row.cluster_id, [row.vmid])


def _charge(tx: Tx, row: Guest, listed: Mapping[str, Any]) -> None:
    """A fact, so no limit refuses it; a running one is charged for the larger of what it runs with and is to have."""
    held = quota.held(tx, row.tenant_id, row.id)
    amounts = {dimension: getattr(row, field) for field, dimension in _CHARGED.items()}
    if not held.keys().isdisjoint(guest.RUNNING_DIMENSIONS):
        cores, memory = max(row.cores, listed["cores"]), max(row.memory, listed["memory"])
        amounts |= quota_rules.of_running(cores=cores, memory=memory)
    quota.allocate(tx, row, amounts)


def _tell(tx: Tx, row: Guest, kind: DriftKind | None, differing: Mapping[str, Difference]) -> None:
    action = _DRIFTED if kind is not None else "guest.drift_ended"
    told = f"{kind}: {rules.in_words(differing)}" if kind is not None else "as agreed again"
    subject = f"{row.name} (vmid {row.vmid}): {told}"
    result = "alert" if kind is not None else "ok"
    audit.record_own(tx, action, tenant=row.tenant_id, guest=row.id, subject=subject, result=result)
    log.warning(action, guest=row.id, vmid=row.vmid, tenant=row.tenant_id, kind=kind)
