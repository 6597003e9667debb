"""What every use case that makes a guest does: for whom, within the quota, recorded with its vmid."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.db import audit, clusters, guests, quota, tenants
from app.db.models import Guest, Tenant
from app.db.session import Tx
from app.domain.access import Context, Privilege, TenantScope
from app.domain.errors import Conflict, NotFound
from app.domain.guests import GuestKind, GuestState, Placement
from app.domain.identifiers import StorageId
from app.domain.tenants import TenantState
from app.policy import placement, rules
from app.policy import quota as quota_rules
from app.sagas import claims
from app.services.guests.on_guest import OnGuest


class Asked(Protocol):
    """What is recorded of a guest that is to be made. `memory` MiB, `disk_gb` GiB."""

    @property
    def name(self) -> str: ...
    @property
    def cores(self) -> int: ...
    @property
    def memory(self) -> int: ...
    @property
    def disk_gb(self) -> int: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def start(self) -> bool: ...
    @property
    def placement(self) -> Placement: ...


@dataclass(frozen=True)
class Copy:
    """A guest that is to be made of another one, or of its backup. `memory` MiB, `disk_gb` GiB; `storage` None: any."""

    name: str
    cores: int
    memory: int
    disk_gb: int
    tags: Sequence[str]
    start: bool = False
    placement: Placement = field(default_factory=Placement)
    storage: StorageId | None = None


class Making(OnGuest):
    """The base of the services that make guests."""

    def tenant_for(self, tx: Tx, ctx: Context, wanted: Placement) -> Tenant:
        """The tenant that is named, or the caller's only one."""
        scope = rules.visible(ctx)
        row = named_tenant(tx, scope, wanted) or _only_tenant(tx, ctx)
        rules.require(ctx, Privilege.GUEST_ALLOCATE, on=row.id)
        return row

    def _reserve(
        self,
        tx: Tx,
        ctx: Context,
        tenant: Tenant,
        kind: GuestKind,
        asked: Asked,
        place: placement.Place,
        made_from: str | None,
        entry: str | None = None,
        *,
        verb: str = "create",
        number: str = "vmid",
    ) -> Guest:
        """Check the quota and record guest, vmid, allocation and audit; `entry` is the catalog's that it is made of,
        and `number` the field that a vmid is wished for in."""
        demand = dict(quota_rules.of_guest(cores=asked.cores, memory=asked.memory, disk_gb=asked.disk_gb))
        if asked.start:
            demand.update(quota_rules.of_running(cores=asked.cores, memory=asked.memory))
        claims.check(tx, tenant.id, ctx.caller.user, demand)
        identity = str(uuid.uuid4())
        cluster = clusters.get(tx, tenant.cluster_id)
        wished = asked.placement.vmid
        vmid = guests.claim_vmid(tx, cluster.id, identity, self._settings.vmids, wished, field=number)
        row = Guest(
            id=identity, tenant_id=tenant.id, cluster_id=cluster.id, cluster_name=cluster.name, poolid=tenant.poolid,
            user_id=ctx.caller.user, vmid=vmid, kind=kind, name=asked.name, node=place.node, storage=place.storage,
            state=GuestState.CREATING, cores=asked.cores, memory=asked.memory, disk_gb=asked.disk_gb,
            made_from=made_from, catalog_id=entry, tags=list(asked.tags), addresses=[],
            unprivileged=True if kind == GuestKind.CT else None,
        )  # fmt: skip
        tx.add(row)
        tx.flush()
        quota.allocate(tx, row, demand)
        audit.record(tx, ctx, f"{kind}.{verb}", tenant=tenant.id, guest=row.id, subject=row.name)
        return row

    def _who(self, ctx: Context, row: Guest, tenant: Tenant) -> dict[str, Any]:
        return {
            "guest": row.id, "tenant": rules.acting(ctx, tenant.id), "cluster": row.cluster_id, "poolid": tenant.poolid,
            "token_id": tenant.token_id, "node": row.node, "vmid": row.vmid, "vmid_rest": self._settings.vmid_rest,
        }  # fmt: skip


def named_tenant(tx: Tx, scope: TenantScope, wanted: Placement) -> Tenant | None:
    """None where nothing is named. A tenant and a pool that do not belong together are NotFound."""
    if wanted.tenant is None and wanted.poolid is None:
        return None
    row = tenants.find(tx, scope, wanted.tenant) if wanted.tenant is not None else None
    if wanted.poolid is not None:
        by_pool = tenants.find_by_pool(tx, scope, wanted.poolid)
        if row is not None and row.id != by_pool.id:
            raise NotFound
        row = by_pool
    return row


def _only_tenant(tx: Tx, ctx: Context) -> Tenant:
    row = tenants.get(tx, rules.only_tenant(ctx))
    if row is None:
        raise NotFound
    return row


def locked(tx: Tx, tenant: Tenant) -> Tenant:
    """The tenant, ready, and ours for one decision: what was read before (template, place, bridge) decides nothing
    that PVE would not refuse again; quota, vmid and name are decided from here on."""
    row = tenants.lock(tx, tenant.id)
    if row.state != TenantState.ACTIVE:
        raise Conflict("The tenant is not ready.", code="tenant.not_ready", remedy="Wait for its operation to end.")
    return row
