"""What every use case on one guest does: find it within what the caller may see, claim, record and submit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from app.db import audit, drift, guests, operations, quota, tenants
from app.db.models import Guest
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Busy, Conflict, PveAbsent, PveChanged, PveRefused
from app.domain.guests import GuestChange, GuestKind, GuestState
from app.domain.identifiers import NodeName, VmId
from app.domain.operations import Operation
from app.domain.tenants import TenantState
from app.operations import Engine, Saga
from app.operations.engine import Submission
from app.policy import quota as quota_rules
from app.policy import rules
from app.pve import GuestApi
from app.sagas import claims, guest, guest_change
from app.sagas.credentials import Credentials

#: PVE clones onto a storage one after another, so a tenant has one clone at a time on each: whoever comes next waits
#: for that one, not for all that the tenant wants. A node carries many guests' tasks at once.
STORAGE_QUEUE, NODE_QUEUE = "storage", "node"


@dataclass(frozen=True)
class GuestRules:
    """`vmids` are ours to give; a freed one rests for `vmid_rest` seconds."""

    vmids: range
    vmid_rest: int


class OnGuest:
    """The base of the services that work on guests."""

    def __init__(self, db: Database, engine: Engine, credentials: Credentials, settings: GuestRules) -> None:
        self._db = db
        self._engine = engine
        self._credentials = credentials
        self._settings = settings

    def _found(self, tx: Tx, ctx: Context, kind: GuestKind, ref: str, privilege: Privilege) -> Guest:
        row = guests.find(tx, rules.visible(ctx), kind, ref)
        rules.require(ctx, privilege, on=row.tenant_id)
        return row

    def _free_guest(self, tx: Tx, ctx: Context, kind: GuestKind, ref: str, privilege: Privilege) -> Guest:
        """A guest on which nothing is open, its tenant locked. Raises Busy with the open operation's address."""
        row = self._found(tx, ctx, kind, ref, privilege)
        tenant = tenants.lock(tx, row.tenant_id)
        if tenant.state != TenantState.ACTIVE:
            raise Conflict("The tenant is being deleted.", code="tenant.not_ready")
        row = guests.again(tx, row)
        require_free(tx, row)
        _require_in_its_pool(tx, row)
        return row

    def _expected_digest(
        self,
        ctx: Context,
        kind: GuestKind,
        ref: str,
        expected: Collection[str],
        ask: Callable[[GuestApi], Any] = lambda api: api.config(),
    ) -> str:
        """The digest of the config, or of what `ask` reads, as it is now, if it is one of these; PVE compares it again
        when the change arrives."""
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_free(tx, row)
        digest: str = self._live(ctx, row, ask).digest
        if digest not in expected:
            raise PveChanged
        return digest

    def _read(self, ctx: Context, kind: GuestKind, ref: str) -> tuple[Guest, dict[str, Any]]:
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            return row, guests.document(tx, row)

    def _live(self, ctx: Context, row: Guest, ask: Callable[[GuestApi], Any]) -> Any:
        """Ask PVE, as the caller. PVE refuses what is gone like what is foreign: the inventory knows which it is."""
        node = self._credentials.as_tenant(rules.acting(ctx, row.tenant_id)).node(NodeName(row.node))
        with self._db.read() as tx:
            _require_in_its_pool(tx, row)
        try:
            return ask(node.lxc(VmId(row.vmid)) if row.kind == GuestKind.CT else node.qemu(VmId(row.vmid)))
        except PveRefused as error:
            if not isinstance(error, PveAbsent) and row.state != GuestState.MISSING:
                raise
            raise Conflict(
                "The guest is not where it was last seen.", code="guest.missing", log=error.upstream,
                remedy="Look at the guest's state; an administrator can repair or forget it.",
            ) from error  # fmt: skip

    def _change(
        self,
        tx: Tx,
        ctx: Context,
        row: Guest,
        wanted: GuestChange,
        *,
        digest: str | None = None,
        disk: dict[str, Any] | None = None,
    ) -> Operation:
        """Claims what grows; `digest` and `disk` are `guest_change.Parameters`'."""
        cores, memory = wanted.cores or row.cores, wanted.memory or row.memory
        size = quota_rules.of_guest(cores=cores, memory=memory, disk_gb=row.disk_gb + wanted.disk_increment_gb)
        held = quota.held(tx, row.tenant_id, row.id)
        runs = not held.keys().isdisjoint(guest.RUNNING_DIMENSIONS)
        claims.claim(tx, row, {**size, **(quota_rules.of_running(cores=cores, memory=memory) if runs else {})})
        parameters = guest_change.Parameters(
            **guest.target(ctx, row), change=dataclasses.asdict(wanted), held={str(d): n for d, n in held.items()},
            digest=digest, disk=disk,
            before={
                "name": row.name, "tags": list(row.tags), "cores": row.cores, "memory": row.memory,
                "disk_gb": row.disk_gb,
            },
        )  # fmt: skip
        return self._act(tx, ctx, row, guest_change.CHANGES[GuestKind(row.kind)], parameters)

    def _act(
        self, tx: Tx, ctx: Context, row: Guest, saga: Saga, parameters: Any, to: Submission | None = None
    ) -> Operation:
        audit.record(tx, ctx, saga.type, tenant=row.tenant_id, guest=row.id, subject=row.name)
        return self._engine.submit(tx, ctx, saga, parameters, to or to_node(row))

    def _seal(self, password: str | None, row: Guest) -> str | None:
        return self._credentials.seal(password, belongs_to=row.id) if password else None


def require_free(tx: Tx, row: Guest) -> None:
    open_one = operations.open_on(tx, row.id)
    if open_one is not None:
        raise Busy(f"/api/operations/{open_one}")


def require_no_template(row: Guest) -> None:
    if row.template:
        raise Conflict("The guest is a template.", code="guest.template", remedy="Make a guest from it: clone it.")


def _require_in_its_pool(tx: Tx, row: Guest) -> None:
    """PVE would refuse the tenant, and the administrator's identity does not work on guests."""
    if drift.has_left_its_pool(tx, row.id):
        raise Conflict(
            "The guest stands outside its tenant's pool in Proxmox VE.", code="guest.outside_pool",
            remedy="An administrator can put it back into its pool: see /api/drift.",
        )  # fmt: skip


def to_node(row: Guest) -> Submission:
    lane = f"{row.tenant_id}/{row.cluster_id}/{row.node}"
    return Submission(tenant=row.tenant_id, guest=row.id, queue=NODE_QUEUE, lane=lane)


def to_storage(row: Guest) -> Submission:
    lane = f"{row.tenant_id}/{row.cluster_id}/{row.storage}"
    return Submission(tenant=row.tenant_id, guest=row.id, queue=STORAGE_QUEUE, lane=lane)
