"""The world after a storm: PVE, our tables and the ledger tell the same story, and nothing stands there unowned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select

from app.db import backups, snapshots
from app.db.models import Allocation, Backup, Drift, Guest, Operation, Tenant, VmidClaim
from app.db.session import Database, Tx
from app.domain.backups import BackupState, backup_mark
from app.domain.guests import GuestKind, GuestState, owner_mark
from app.domain.operations import FINAL_STATES
from app.domain.quota import Dimension
from app.domain.snapshots import SnapshotState
from app.domain.tenants import TenantState
from app.policy import quota
from app.pve import GuestConfig
from app.sagas.tenant_create import mark, rights
from tests.house import House

#: Of these guests PVE has nothing, as we say ourselves.
_ABSENT = (GuestState.MISSING, GuestState.FAILED)


def disorder(house: House) -> list[str]:
    """Everything that is not in order, in words; empty where all is. No operation may be under way."""
    lab = house.pve.state()
    db = Database(house.settings.database_url)
    try:
        with db.read() as tx:
            guests, tenants = tx.scalars(select(Guest)).all(), tx.scalars(select(Tenant)).all()
            outside = {row.guest_id for row in tx.scalars(select(Drift)) if "pool" in row.differences}
            return [
                *_operations(tx),
                *_guests(house, lab, guests, outside),
                *_volumes(house, lab, guests),
                *_walls(lab, tenants, house.settings.catalog_pool),
                *_ledger(tx, lab, guests),
                *_sizes(lab, guests),
                *_snapshots(tx, lab, guests),
                *_backups(tx, lab),
                *_vmids(tx, guests),
            ]
    finally:
        db.close()


def _operations(tx: Tx) -> Iterator[str]:
    for row in tx.scalars(select(Operation).where(Operation.state.not_in(FINAL_STATES))):
        yield f"operation {row.id} ({row.type}) is {row.state}"


def _guests(house: House, lab: dict[str, Any], rows: Sequence[Guest], outside: set[str | None]) -> Iterator[str]:
    """Each of ours is there once, by its mark, in its pool and no other, unless it is told to be outside; and no other
    is there."""
    known = {row.vmid: row for row in rows}
    pools = {vmid: pool["poolid"] for pool in lab["pools"].values() for vmid in pool["vms"]}
    marked: dict[str, list[int]] = defaultdict(list)
    for guest in lab["guests"].values():
        vmid, config = guest["vmid"], guest["config"]
        row = known.get(vmid)
        if row is None and not house.settings.vmid_min <= vmid <= house.settings.vmid_max:
            continue
        if row is None:
            yield f"PVE's guest {vmid} is nobody's"
            continue
        for line in str(config.get("description", "")).splitlines():
            marked[line.strip()].append(vmid)
        if pools.get(vmid) != row.poolid and row.id not in outside:
            yield f"guest {vmid} is in pool {pools.get(vmid)}, not in {row.poolid}"
        if row.kind == GuestKind.CT and config.get("unprivileged") != 1:
            yield f"container {vmid} is privileged"
        if config.get("lock"):
            yield f"guest {vmid} is locked: {config['lock']}"
    for row in rows:
        there = marked[owner_mark(row.id)]
        wanted = [] if row.state in _ABSENT else [row.vmid]
        if there != wanted:
            yield f"guest {row.id} ({row.state}, vmid {row.vmid}) is there as {there}"


def _volumes(house: House, lab: dict[str, Any], rows: Sequence[Guest]) -> Iterator[str]:
    """Volumes belong to guests that are there, and are named by their configurations."""
    configs = [
        config
        for guest in lab["guests"].values()
        for config in (guest["config"], *(one["config"] for one in guest["snapshots"].values()))
    ]
    used = "\n".join(str(value) for config in configs for value in config.values())
    vmids = {row.vmid for row in rows}
    for volume in lab["volumes"].values():
        vmid = volume["vmid"] or 0
        if house.settings.vmid_min <= vmid <= house.settings.vmid_max and volume["content"] in ("images", "rootdir"):
            if vmid not in vmids:
                yield f"volume {volume['volid']} is nobody's"
            elif volume["volid"] not in used:
                yield f"volume {volume['volid']} is in no configuration"


def _walls(lab: dict[str, Any], tenants: Sequence[Tenant], catalog: str) -> Iterator[str]:
    """Pool, user, token and rights of each tenant, and of nobody else."""
    known = {mark(row.id): row for row in tenants}
    for pool in lab["pools"].values():
        if pool["comment"].startswith("poolhouse-tenant") and pool["comment"] not in known:
            yield f"pool {pool['poolid']} is nobody's"
    for user in lab["users"].values():
        if user["comment"].startswith("poolhouse-tenant") and user["comment"] not in known:
            yield f"PVE's user {user['userid']} is nobody's"
    for row in tenants:
        if row.state == TenantState.DELETING and row.token_secret is None:
            continue  # it is being taken down, and can only be deleted once more
        if row.poolid not in lab["pools"]:
            yield f"tenant {row.name} has no pool"
        granted = set(rights(row.poolid, row.storages, row.bridges, None))
        for who, kind in ((row.pve_user, "users"), (row.token_id, "tokens")):
            has = {(path, role) for path, entry in lab["acl"].items() for role in entry[kind].get(who, ())}
            if not granted <= has or {path for path, _ in has - granted} - {f"/pool/{catalog}"}:
                yield f"tenant {row.name} has the rights {sorted(has)}, not {sorted(granted)}"
        user, _, token = row.token_id.partition("!")
        if token not in lab["users"].get(user, {}).get("tokens", {}) or row.token_secret is None:
            yield f"tenant {row.name} has no token"
    identities = {who for row in tenants for who in (row.pve_user, row.token_id)} | {"root@pam", "root@pam!poolhouse"}
    for path, entry in lab["acl"].items():
        for who in (*entry["users"], *entry["tokens"]):
            if who not in identities:
                yield f"the right of {who} on {path} is nobody's"


def _ledger(tx: Tx, lab: dict[str, Any], rows: Sequence[Guest]) -> Iterator[str]:
    """What is allocated is what the guests are, and what they run with: a VM that has shrunk keeps that until its
    next start."""
    held: dict[str, dict[str, int]] = defaultdict(dict)
    for allocation in tx.scalars(select(Allocation)):
        held[allocation.guest_id][allocation.dimension] = allocation.amount
    for row in rows:
        wanted = dict(quota.of_guest(cores=row.cores, memory=row.memory, disk_gb=row.disk_gb))
        there = lab["guests"].get(str(row.vmid), {"status": "absent"})
        if there["status"] == "running":
            config = there["config"]
            wanted |= quota.of_running(
                cores=max(row.cores, int(config["cores"])), memory=max(row.memory, int(config["memory"]))
            )
        if taken := len(there.get("snapshots", ())):
            wanted |= {Dimension.SNAPSHOTS: taken}
        if taken := len(backups.of_guest(tx, row.id)):
            wanted |= {Dimension.BACKUPS: taken}
        found = held.pop(row.id, {})
        if found != wanted:
            yield f"guest {row.vmid} ({row.state}) holds {found}, not {wanted}"
    for guest in held:
        yield f"an allocation of {guest}, which is not there"


def _sizes(lab: dict[str, Any], rows: Sequence[Guest]) -> Iterator[str]:
    """What PVE gives a guest at its next start is what it is charged for, and it has the name that we show."""
    for row in rows:
        guest = lab["guests"].get(str(row.vmid))
        if guest is None:
            continue
        config = GuestConfig({key: str(value) for key, value in (guest["config"] | guest["pending"]).items()})
        found = (config.name, config.cores, config.memory, sum(disk.size_gb for disk in config.disks))
        wanted = (row.name, row.cores, row.memory, row.disk_gb)
        if found != wanted:
            yield f"guest {row.vmid} ({row.state}) is {found}, not {wanted}"


def _snapshots(tx: Tx, lab: dict[str, Any], rows: Sequence[Guest]) -> Iterator[str]:
    """Those that we show are those that are there."""
    for row in rows:
        there = set(lab["guests"].get(str(row.vmid), {"snapshots": ()})["snapshots"])
        shown = {one.name for one in snapshots.of_guest(tx, row.id) if one.state == SnapshotState.READY}
        if shown != there:
            yield f"guest {row.vmid} has the snapshots {there}, not {shown}"


def _backups(tx: Tx, lab: dict[str, Any]) -> Iterator[str]:
    """Each that we show is there, and none of ours lies there that nobody shows, but those of guests that are gone."""
    shown = {row.id: row for row in tx.scalars(select(Backup))}
    known = set(tx.scalars(select(Guest.vmid)))
    there = {volume["volid"]: volume for volume in lab["volumes"].values() if volume["content"] == "backup"}
    for row in shown.values():
        if row.state != BackupState.READY or row.volid not in there:
            yield f"the backup {row.id} ({row.state}) is not there as {row.volid}"
    marks = {backup_mark(row.id): row.volid for row in shown.values()}
    for volid, volume in there.items():
        mark = str(volume["notes"]).partition("\n")[0]
        if mark.startswith(backup_mark("")) and volume["vmid"] in known and marks.get(mark) != volid:
            yield f"the archive {volid} is nobody's"


def _vmids(tx: Tx, rows: Sequence[Guest]) -> Iterator[str]:
    """Each guest has claimed its number, and no claim outlives its guest."""
    claims = {claim.vmid: claim.guest_id for claim in tx.scalars(select(VmidClaim)) if claim.guest_id is not None}
    for row in rows:
        if claims.pop(row.vmid, None) != row.id:
            yield f"guest {row.vmid} has not claimed its number"
    for vmid, guest in claims.items():
        yield f"vmid {vmid} is claimed by {guest}, which is not there"
