"""Clones: only of guests of the caller's own tenants, and of published templates."""

from __future__ import annotations

from dataclasses import dataclass

from app.db import clusters, templates, tenants
from app.db.models import Guest, Tenant
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Forbidden, Invalid, NotFound
from app.domain.guests import CloneSpec, GuestKind, GuestState, Placement
from app.domain.identifiers import MalformedIdentifier, VmId
from app.domain.operations import Operation
from app.policy import placement, rules
from app.pve import GuestConfig
from app.sagas import guest, guest_clone
from app.services.guests import offers
from app.services.guests.making import Copy, Making, locked, named_tenant
from app.services.guests.on_guest import require_free, to_storage


@dataclass(frozen=True)
class _Source:
    """`maker` is the tenant whose token clones it, `into` the one whose guest it becomes; `row` None: of the catalog's
    `entry`. `cores` where its configuration sets no limit."""

    maker: Tenant
    into: Tenant
    vmid: int
    node: str
    name: str
    cores: int
    row: Guest | None
    entry: str | None = None


class Clones(Making):
    def clone(self, ctx: Context, kind: GuestKind, ref: str, spec: CloneSpec) -> Operation:
        """It is charged as its source is, in the tenant that gets it; it does not run.

        Raises QuotaExceeded, CapacityExceeded, Invalid for what cannot be linked and for a storage or bridge that is
        not granted, Conflict for a container that runs, Forbidden for one that is privileged.
        """
        with self._db.read() as tx:
            source = self._source(tx, ctx, kind, ref, spec)
            given = offers.terms(tx, source.into, ctx.caller.user)
        config = self._config(ctx, kind, source)
        _require_cloneable(kind, source, config, spec)
        _require_bridges(given, config)
        with self._db.begin() as tx:
            into = locked(tx, source.into)
            place = _place(tx, given, kind, source, config, spec)
            size = config.size
            asked = Copy(
                spec.name, size["cores"] or source.cores, size["memory"], size["disk_gb"], config.tags,
                placement=Placement(vmid=spec.newid),
            )  # fmt: skip
            row = self._reserve(
                tx, ctx, into, kind, asked, place, source.name, source.entry, verb="clone", number="newid"
            )
            parameters = guest_clone.Parameters(
                **self._who(ctx, row, source.maker), kind=kind, name=row.name, memory=size["memory"],
                cores=size["cores"], source_vmid=source.vmid, full=spec.full, storage=spec.storage, into=into.id,
                into_pool=into.poolid, vlan=given.vlan,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, guest_clone.CLONES[kind], parameters, to_storage(row))

    def _source(self, tx: Tx, ctx: Context, kind: GuestKind, ref: str, spec: CloneSpec) -> _Source:
        """Raises NotFound for a guest, and for a pool, that is not the caller's, Busy."""
        try:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
        except NotFound:
            return self._published(tx, ctx, kind, ref, spec)
        require_free(tx, row)
        maker = tenants.get(tx, row.tenant_id)
        assert maker is not None
        into = named_tenant(tx, rules.visible(ctx), Placement(poolid=spec.poolid)) or maker
        rules.require(ctx, Privilege.GUEST_ALLOCATE, on=into.id)
        if into.cluster_id != maker.cluster_id:
            raise Invalid({"poolid": ["is a pool of another cluster"]})
        return _Source(maker, into, row.vmid, row.node, row.name, row.cores, row)

    def _published(self, tx: Tx, ctx: Context, kind: GuestKind, ref: str, spec: CloneSpec) -> _Source:
        try:
            vmid = VmId.parse(ref)
        except MalformedIdentifier:
            raise NotFound from None
        found = templates.published_guests(tx, kind, vmid)
        if not found:
            raise NotFound
        tenant = self.tenant_for(tx, ctx, Placement(poolid=spec.poolid))
        seen = clusters.seen_guest(tx, tenant.cluster_id, vmid)
        if tenant.cluster_id not in found or seen is None or seen.kind != kind:
            raise NotFound
        entry = found[tenant.cluster_id]
        return _Source(tenant, tenant, vmid, seen.node, entry.name, seen.facts["cores"], None, entry.id)

    def _config(self, ctx: Context, kind: GuestKind, source: _Source) -> GuestConfig:
        """As PVE clones it: without what waits for the source's next start."""
        if source.row is not None:
            own: GuestConfig = self._live(ctx, source.row, lambda api: api.config(current=True))
            return own
        pve = self._credentials.as_tenant(rules.acting(ctx, source.maker.id))
        return guest.api_at(pve, kind, source.node, source.vmid).config(current=True)


def _require_cloneable(kind: GuestKind, source: _Source, config: GuestConfig, spec: CloneSpec) -> None:
    if kind == GuestKind.CT and not config.unprivileged:
        raise Forbidden("The container is privileged.", code="policy.privileged_guest", remedy="Clone another one.")
    if not spec.full and not config.template:
        raise Invalid({"full": ["must be true: only templates have linked clones"]})
    if not spec.full and spec.storage is not None:
        raise Invalid({"storage": ["cannot be chosen: a linked clone lies where its template does"]})
    if kind == GuestKind.CT and source.row is not None and source.row.state == GuestState.RUNNING:
        raise Conflict("The container runs.", code="guest.running", remedy="Stop it first.")


def _require_bridges(given: offers.Terms, config: GuestConfig) -> None:
    missing = config.bridges.difference(given.bridges)
    if missing:
        raise Invalid({"poolid": [f"is of a tenant that may not use {', '.join(sorted(missing))}"]})


def _place(
    tx: Tx, given: offers.Terms, kind: GuestKind, source: _Source, config: GuestConfig, spec: CloneSpec
) -> placement.Place:
    """Its storage is the one that it boots from; wherever a disk of it comes to lie is granted and has the room for
    all."""
    needed = config.size["disk_gb"] if spec.full else 0
    boot = config.boot_disk
    first = spec.storage or (boot.storage if boot is not None else None)
    others = {disk.storage for disk in config.disks} - {first} if spec.storage is None else set()
    for name in others:
        offers.place_on(tx, given, kind, source.node, disk_gb=needed, named=name)
    return offers.place_on(tx, given, kind, source.node, disk_gb=needed, named=first)
