"""Rows that a database must have before it can be asked anything: a cluster, tenants, users, guests."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, TypeVar

from app.db import guests, quota
from app.db.models import Cluster, Guest, Table, Tenant, User
from app.db.session import Tx
from app.domain.quota import Amounts
from app.policy.quota import of_guest

Row = TypeVar("Row", bound=Table)

#: How long a freed vmid rests in these tests: longer than any of them takes.
REST = timedelta(hours=1)


def cluster(tx: Tx, name: str = "lab") -> Cluster:
    row = Cluster(id=new_id(), name=name, url="https://127.0.0.1:8006", token_id="root@pam!poolhouse", secret="sealed")
    return _added(tx, row)


def tenant(tx: Tx, of: Cluster, name: str = "physics", *, poolid: str | None = None) -> Tenant:
    poolid = poolid or f"ph-{name}"
    row = Tenant(
        id=new_id(),
        name=name,
        canonical=name.casefold(),
        cluster_id=of.id,
        poolid=poolid,
        pve_user=f"{poolid}@pve",
        token_id=f"{poolid}@pve!poolhouse",
        state="active",
        comment="",
        storages=["local-lvm"],
        bridges=["vmbr0"],
    )
    return _added(tx, row)


def user(tx: Tx, name: str = "maria") -> User:
    return _added(tx, User(id=new_id(), username=name, canonical=name.casefold(), role="user"))


def guest(tx: Tx, of: Tenant, vmid: int, *, identity: str | None = None, user: str | None = None, **more: Any) -> Guest:
    """A container of one core, 512 MiB and 8 GiB, unless told otherwise; not in the ledger."""
    facts: dict[str, Any] = {"kind": "ct", "name": f"ct-{vmid}", "cores": 1, "memory": 512, "disk_gb": 8, **more}
    row = Guest(
        id=identity or new_id(),
        tenant_id=of.id,
        cluster_id=of.cluster_id,
        cluster_name="lab",
        poolid=of.poolid,
        user_id=user or _somebody(tx).id,
        vmid=vmid,
        node="pve1",
        storage="local-lvm",
        state="stopped",
        tags=[],
        addresses=[],
        **facts,
    )
    return _added(tx, row)


def charged_guest(tx: Tx, of: Tenant, span: range, demand: Amounts | None = None, **more: Any) -> Guest:
    """A guest as a service makes it: number, row and allocations."""
    identity = new_id()
    vmid = guests.claim_vmid(tx, of.cluster_id, identity, span, None)
    row = guest(tx, of, vmid, identity=identity, **more)
    quota.allocate(tx, row, demand or of_guest(cores=row.cores, memory=row.memory, disk_gb=row.disk_gb))
    return row


def _somebody(tx: Tx) -> User:
    return user(tx, new_id())


def new_id() -> str:
    return str(uuid.uuid4())


def _added(tx: Tx, row: Row) -> Row:
    tx.add(row)
    tx.flush()
    return row
