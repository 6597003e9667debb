"""Drift as its readers see it, and what an administrator does about it: agree to it, forget the guest, or repair it."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta
from typing import Any

from app.db import audit, clusters, drift, guests, members, operations, quota, tenants
from app.db.models import Drift as DriftRow
from app.db.models import Guest, Tenant
from app.db.session import Database, Tx
from app.domain.access import EVERY_TENANT, Context, Privilege
from app.domain.drift import Drift, DriftFilter, DriftKind
from app.domain.errors import Busy, Conflict, NotFound, PveLocked
from app.domain.guests import GuestKind, GuestState
from app.domain.identifiers import GuestName, MalformedIdentifier, NodeName, VmId
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.tenants import TenantState
from app.operations import Engine
from app.operations.engine import Submission
from app.policy import drift as drift_rules
from app.policy import quota as quota_rules
from app.policy import rules
from app.pve import GuestConfig
from app.sagas import claims, guest, guest_adopt, guest_repair
from app.sagas.credentials import Credentials

#: Pools stand in user.cfg, which PVE locks as a whole.
QUEUE = "access"


class Drifts:
    """`vmid_rest` is how many seconds a freed vmid rests."""

    def __init__(self, db: Database, engine: Engine, credentials: Credentials, *, vmid_rest: int) -> None:
        self._db = db
        self._engine = engine
        self._credentials = credentials
        self._vmid_rest = vmid_rest

    def list(self, ctx: Context, wanted: DriftFilter, request: PageRequest) -> Page[Drift]:
        """Newest first; members see their tenants' own, without the names of others' pools."""
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            if wanted.tenant is not None:
                wanted = dataclasses.replace(wanted, tenant=tenants.find(tx, scope, wanted.tenant).id)
            found = drift.page(tx, scope, wanted, request)
        if scope == EVERY_TENANT:
            return found
        told = [dataclasses.replace(one, differences=drift_rules.for_members(one.differences)) for one in found.data]
        return Page(told, found.count, found.next)

    def adopt(self, ctx: Context, ref: str) -> Operation:
        """What stands in PVE is what is agreed from now on. A guest that moved to another tenant's pool goes to that
        tenant, one that nobody made here becomes its pool's tenant's: their quota is checked.

        Raises Conflict `guest.privileged` for a privileged container, `drift.not_possible` for what is gone.
        """
        rules.require(ctx, Privilege.DRIFT_MODIFY)
        with self._db.read() as tx:
            known = drift.get(tx, EVERY_TENANT, ref)
        if known.kind == DriftKind.UNMANAGED:
            return self._take_in(ctx, ref, self._config(known))
        with self._db.begin() as tx:
            known, row = self._guest_of(tx, ref)
            if known.kind in (DriftKind.MISSING, DriftKind.OUTSIDE_POOL):
                raise _not_possible("A guest that is in no tenant's pool cannot be agreed to.", "Repair or forget it.")
            if drift_rules.POOL in known.differences:
                _hand_over(tx, ctx, row, _tenant_of_pool(tx, row, known))
            tx.delete(known)
            drift.compare_again(tx, row)
            guest.touch(row)
            audit.record(tx, ctx, "drift.adopt", tenant=row.tenant_id, guest=row.id, subject=_subject(known))
            return self._engine.submit(
                tx, ctx, guest_adopt.SAGA, guest_adopt.Parameters(**guest.target(ctx, row), new=False), _to(row)
            )

    def forget(self, ctx: Context, ref: str) -> None:
        """Row, allocations and vmid of a guest that is missing or outside its pool go; PVE is not touched."""
        rules.require(ctx, Privilege.DRIFT_MODIFY)
        with self._db.begin() as tx:
            known, row = self._guest_of(tx, ref)
            if known.kind not in (DriftKind.MISSING, DriftKind.OUTSIDE_POOL):
                raise _not_possible("The guest is there, in a tenant's pool.", "Repair it, or agree to it.")
            audit.record(tx, ctx, "drift.forget", tenant=row.tenant_id, guest=row.id, subject=_subject(known))
            guests.remove(tx, row.id, rest=timedelta(seconds=self._vmid_rest))

    def repair(self, ctx: Context, ref: str) -> Operation:
        """Back into its pool, and with the name, cores and memory that were agreed; what grows so is claimed.

        Raises QuotaExceeded, Conflict `drift.disk` where only the disk is left, which PVE does not shrink.
        """
        rules.require(ctx, Privilege.DRIFT_MODIFY)
        with self._db.begin() as tx:
            known, row = self._guest_of(tx, ref)
            wanted = _agreed(row, known)
            if known.kind == DriftKind.CHANGED and "disk_gb" in known.differences:
                raise Conflict(
                    "Proxmox VE does not shrink a disk, and what was taken away is not put back from here.",
                    code="drift.disk", remedy="Agree to what stands there (`adopt`), or put it right in Proxmox VE.",
                )  # fmt: skip
            if known.kind == DriftKind.MISSING or not (wanted or drift_rules.POOL in known.differences):
                raise _not_possible("There is nothing that could be put back from here.", "Adopt or forget it.")
            held = quota.held(tx, row.tenant_id, row.id)
            cores, memory = wanted.get("cores", row.cores), wanted.get("memory", row.memory)
            size = quota_rules.of_guest(cores=cores, memory=memory, disk_gb=row.disk_gb)
            runs = not held.keys().isdisjoint(guest.RUNNING_DIMENSIONS)
            claims.claim(tx, row, {**size, **(quota_rules.of_running(cores=cores, memory=memory) if runs else {})})
            audit.record(tx, ctx, "drift.repair", tenant=row.tenant_id, guest=row.id, subject=_subject(known))
            parameters = guest_repair.Parameters(
                **guest.target(ctx, row),
                wanted=wanted,
                held={str(dimension): amount for dimension, amount in held.items()},
            )
            return self._engine.submit(tx, ctx, guest_repair.SAGA, parameters, _to(row))

    def _guest_of(self, tx: Tx, ref: str) -> tuple[DriftRow, Guest]:
        """The drift of a guest of ours on which nothing is open, with all tenants locked that it may concern."""
        known = drift.get(tx, EVERY_TENANT, ref)
        if known.guest_id is None:
            raise _not_possible("It is no guest of ours.", "Adopt it, or take it out of the pool in Proxmox VE.")
        found = known.differences.get(drift_rules.POOL, {}).get("found")
        new_home = tenants.pools(tx, known.cluster_id).get(found)
        for tenant in sorted({known.tenant_id, *([new_home] if new_home else [])}):
            tenants.lock(tx, tenant)
        known = drift.get(tx, EVERY_TENANT, ref)
        row = guests.get(tx, known.guest_id or "")
        if row is None:
            raise NotFound
        row = guests.again(tx, row)
        open_one = operations.open_on(tx, row.id)
        if open_one is not None:
            raise Busy(f"/api/operations/{open_one}")
        return known, row

    def _config(self, known: DriftRow) -> GuestConfig:
        """Of a guest that is none of ours; what it may be is decided by it and nothing else."""
        on = self._credentials.as_admin(known.cluster_id).node(NodeName(known.node))
        config = (on.lxc(VmId(known.vmid)) if known.guest_kind == GuestKind.CT else on.qemu(VmId(known.vmid))).config()
        if not config.is_whole:
            raise PveLocked("PVE still works on this guest.")
        if known.guest_kind == GuestKind.CT and not config.unprivileged:
            raise Conflict(
                "The container is privileged: no tenant may have it.", code="guest.privileged",
                remedy="Take it out of the pool in Proxmox VE.",
            )  # fmt: skip
        return config

    def _take_in(self, ctx: Context, ref: str, config: GuestConfig) -> Operation:
        with self._db.begin() as tx:
            known = drift.get(tx, EVERY_TENANT, ref)
            tenant = tenants.lock(tx, known.tenant_id)
            _require_active(tenant)
            known = drift.get(tx, EVERY_TENANT, ref)
            seen = clusters.seen_guest(tx, known.cluster_id, known.vmid)
            if known.kind != DriftKind.UNMANAGED or seen is None:
                raise NotFound
            size = {**config.size, "cores": config.cores or seen.facts["cores"]}
            demand = dict(quota_rules.of_guest(**size))
            if seen.status == "running":
                demand |= quota_rules.of_running(cores=size["cores"], memory=size["memory"])
            claims.check(tx, tenant.id, ctx.caller.user, demand)
            identity = str(uuid.uuid4())
            guests.claim_found(tx, known.cluster_id, identity, known.vmid)
            root = config.boot_disk
            row = Guest(
                id=identity, tenant_id=tenant.id, cluster_id=known.cluster_id,
                cluster_name=clusters.get(tx, known.cluster_id).name, poolid=tenant.poolid, user_id=ctx.caller.user,
                vmid=known.vmid, kind=known.guest_kind, name=config.name or known.name, node=known.node,
                storage=root.volume.partition(":")[0] if root is not None else "",
                state=GuestState.RUNNING if seen.status == "running" else GuestState.STOPPED, **size,
                template=config.template, made_from=None,
                tags=list(config.tags), addresses=[], locked=bool(config.lock),
                unprivileged=config.unprivileged if known.guest_kind == GuestKind.CT else None,
            )  # fmt: skip
            tx.add(row)
            tx.delete(known)
            tx.flush()
            quota.allocate(tx, row, demand)
            audit.record(tx, ctx, "drift.adopt", tenant=tenant.id, guest=row.id, subject=_subject(known))
            parameters = guest_adopt.Parameters(
                **guest.target(ctx, row), new=True, cores=config.cores, memory=config.memory,
                disk_gb=config.size["disk_gb"], vmid_rest=self._vmid_rest,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, guest_adopt.SAGA, parameters, _to(row))


def _tenant_of_pool(tx: Tx, row: Guest, known: DriftRow) -> Tenant:
    found = tenants.pools(tx, row.cluster_id).get(known.differences[drift_rules.POOL]["found"])
    tenant = tenants.get(tx, found) if found is not None else None
    if tenant is None:
        raise _not_possible("The pool that it is in is no tenant's any more.", "Repair or forget it.")
    return tenant


def _hand_over(tx: Tx, ctx: Context, row: Guest, tenant: Tenant) -> None:
    """Guest and allocations are another tenant's; its maker stays who he is if he is a member there."""
    _require_active(tenant)
    user = row.user_id if members.role_of(tx, tenant.id, row.user_id) is not None else ctx.caller.user
    claims.check(tx, tenant.id, user, quota.held(tx, row.tenant_id, row.id))
    quota.transfer(tx, row.id, tenant=tenant.id, user=user)
    audit.record(tx, ctx, "guest.left", tenant=row.tenant_id, guest=row.id, subject=row.name)
    row.tenant_id, row.poolid, row.user_id = tenant.id, tenant.poolid, user


def _agreed(row: Guest, known: DriftRow) -> dict[str, Any]:
    """What can be written back: name, cores, memory, where they still are as they were found."""
    fields = ("name", "cores", "memory")
    now_there = {field: getattr(row, field) for field in fields}
    agreed = drift_rules.agreed(now_there, known.differences)
    wanted = {field: value for field, value in agreed.items() if value != now_there[field]}
    if "name" in wanted:
        try:
            GuestName.parse(wanted["name"])
        except MalformedIdentifier:
            del wanted["name"]
    return wanted


def _require_active(tenant: Tenant) -> None:
    if tenant.state != TenantState.ACTIVE:
        raise Conflict("The tenant is not ready.", code="tenant.not_ready", remedy="Wait for its operation to end.")


def _not_possible(detail: str, remedy: str) -> Conflict:
    return Conflict(detail, code="drift.not_possible", remedy=remedy)


def _subject(known: DriftRow) -> str:
    told = drift_rules.in_words(known.differences)
    return f"{known.name} (vmid {known.vmid}): {known.kind}{f' {told}' if told else ''}"


def _to(row: Guest) -> Submission:
    return Submission(tenant=row.tenant_id, guest=row.id, queue=QUEUE, lane=row.cluster_id)
