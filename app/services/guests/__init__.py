"""Guests of both kinds: authorise, decide, record and submit, in one transaction."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any

from app.db import guests, tenants
from app.db.models import Tenant
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid
from app.domain.guests import (
    ContainerSpec,
    GuestChange,
    GuestFilter,
    GuestKind,
    GuestState,
    Located,
    Placement,
    Standing,
    VmSpec,
)
from app.domain.identifiers import Volid
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.policy import quota as quota_rules
from app.policy import rules
from app.policy.placement import GIB, Place
from app.pve import MetricPoint
from app.sagas import claims, ct_create, guest, guest_delete, guest_power, vm_create
from app.services.guests import offers
from app.services.guests.making import Making, locked, named_tenant
from app.services.guests.on_guest import require_no_template, to_node, to_storage


class Guests(Making):
    # -- making

    def create_container(self, ctx: Context, spec: ContainerSpec) -> Operation:
        """Raises QuotaExceeded, CapacityExceeded, Invalid for a template, storage or bridge outside the tenant's, and
        for a password or keys of what is cloned."""
        with self._db.read() as tx:
            tenant = self.tenant_for(tx, ctx, spec.placement)
            given = offers.terms(tx, tenant, ctx.caller.user)
            medium = offers.ct_medium(tx, tenant, spec.template, spec.disk_gb)
            offers.require_no_log_in(medium, {"password": spec.password, "ssh_keys": spec.ssh_keys})
            net = offers.network(tx, given, spec.net)
            place = offers.place(tx, given, spec, GuestKind.CT, medium)
        with self._db.begin() as tx:
            tenant = locked(tx, tenant)
            row = self._reserve(tx, ctx, tenant, GuestKind.CT, spec, place, medium.name, medium.entry)
            return self._engine.submit(
                tx, ctx, ct_create.SAGA,
                ct_create.Parameters(
                    **self._who(ctx, row, tenant), name=row.name, template=medium.volid, template_vmid=medium.vmid,
                    template_node=medium.node, storage=place.storage,
                    disk_gb=spec.disk_gb, memory=spec.memory, swap=spec.swap, cores=spec.cores,
                    net=dataclasses.asdict(net), ssh_keys=list(spec.ssh_keys),
                    password=self._seal(spec.password, row), nesting=spec.nesting, tags=list(spec.tags),
                    start=spec.start, onboot=spec.onboot,
                ),
                to_storage(row) if medium.vmid else to_node(row),
            )  # fmt: skip

    def create_vm(self, ctx: Context, spec: VmSpec) -> Operation:
        """Raises as `create_container` does; `iso`, `template` and `image` exclude each other."""
        with self._db.read() as tx:
            tenant = self.tenant_for(tx, ctx, spec.placement)
            given = offers.terms(tx, tenant, ctx.caller.user)
            medium = offers.vm_medium(tx, tenant, spec)
            net = offers.network(tx, given, spec.net)
            place = offers.place(tx, given, spec, GuestKind.VM, medium)
        if medium.image is not None and medium.entry is None:
            self._require_as_large(ctx, tenant, place, medium.image, spec.disk_gb)
        with self._db.begin() as tx:
            tenant = locked(tx, tenant)
            row = self._reserve(tx, ctx, tenant, GuestKind.VM, spec, place, medium.name, medium.entry)
            init = spec.cloud_init
            public = dataclasses.asdict(dataclasses.replace(init, password=None)) if init is not None else None
            return self._engine.submit(
                tx, ctx, vm_create.SAGA,
                vm_create.Parameters(
                    **self._who(ctx, row, tenant), name=row.name, storage=place.storage, disk_gb=spec.disk_gb,
                    memory=spec.memory, cores=spec.cores, net=dataclasses.asdict(net),
                    iso=medium.iso, image=medium.image, template_vmid=medium.vmid,
                    template_node=medium.node, cloud_init=public,
                    password=self._seal(init.password if init else None, row), tags=list(spec.tags), start=spec.start,
                    onboot=spec.onboot,
                ),
                to_storage(row) if medium.vmid else to_node(row),
            )  # fmt: skip

    def _require_as_large(self, ctx: Context, tenant: Tenant, place: Place, image: Volid, disk_gb: int) -> None:
        """With one call to PVE: of an image that is not the catalog's only its file's length is known."""
        node = self._credentials.as_tenant(rules.acting(ctx, tenant.id)).node(place.node)
        least = math.ceil(node.volume_size(image) / GIB)
        if disk_gb < least:
            raise Invalid({"disk_gb": [f"must be at least {least}, the size of the image's disk"]})

    # -- reading

    def list(self, ctx: Context, kind: GuestKind, wanted: GuestFilter, request: PageRequest) -> Page[bytes]:
        """GUEST documents, ready to be sent; costs PVE nothing. A foreign pool or tenant is NotFound."""
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            tenant = None
            if wanted.tenant is not None or wanted.poolid is not None:
                named = named_tenant(tx, scope, Placement(tenant=wanted.tenant, poolid=wanted.poolid))
                tenant = named.id if named is not None else None
            conditions = guests.narrowed(
                tenant=tenant, node=wanted.node, state=wanted.status, name=wanted.name, tag=wanted.tag,
                template=_flag("template", wanted.template),
                unprivileged=_flag("unprivileged", wanted.unprivileged),
            )  # fmt: skip
            return guests.page(tx, scope, kind, conditions, request)

    def at_home(self, ctx: Context) -> Sequence[Standing]:
        """All guests of the caller's home tenant but its templates, newest last; none for who has no tenant."""
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        home = rules.home(ctx)
        if home is None:
            return []
        rules.require(ctx, Privilege.GUEST_AUDIT, on=home)
        with self._db.read() as tx:
            return guests.standing(tx, home)

    def located(self, ctx: Context, vmid: str) -> Located:
        """Which guest that he may see a caller means who knows numbers alone. Raises NotFound, Conflict
        `guest.ambiguous`. What he may do with it is asked when he does it."""
        with self._db.read() as tx:
            row = guests.at_number(tx, rules.visible(ctx), vmid)
            return Located(GuestKind(row.kind), row.id, GuestState(row.state))

    def number(self, ctx: Context, guest: str) -> int | None:
        """The vmid of a guest, for who may follow its operations; None where it is gone."""
        rules.require_scope(ctx, Privilege.OPERATION_AUDIT)
        with self._db.read() as tx:
            found = guests.among(tx, rules.visible(ctx), [guest])
            return found[guest].vmid if guest in found else None

    def get(self, ctx: Context, kind: GuestKind, ref: str) -> dict[str, Any]:
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_AUDIT)
            return guests.document(tx, row)

    def status(self, ctx: Context, kind: GuestKind, ref: str) -> dict[str, Any]:
        """Live from PVE, with what the guest's agent tells where there is one."""
        row, document = self._read(ctx, kind, ref)
        if row.state == GuestState.CREATING:
            return {**document, "live": None}
        status = self._live(ctx, row, lambda api: api.status())
        addresses = self._live(ctx, row, lambda api: api.addresses()) if status.status == "running" else []
        # an agent that did not tell the one in time is not asked for the other
        inside = self._live(ctx, row, lambda api: api.file_systems(status)) if addresses else []
        return {
            **document,
            "live": {
                "status": status.status, "uptime": status.uptime, "cpus": status.cpus, "cpu": status.cpu,
                "memory": status.mem, "memory_max": status.maxmem, "disk": status.disk, "disk_max": status.maxdisk,
                "net_in": status.netin, "net_out": status.netout, "addresses": sorted(addresses),
                "file_systems": [dataclasses.asdict(one) for one in inside],
            },
        }  # fmt: skip

    def metrics(self, ctx: Context, kind: GuestKind, ref: str, timeframe: str, *, peaks: bool) -> Sequence[MetricPoint]:
        """PVE's own records, oldest first, with one call; nothing of the times when the guest was off."""
        row, _ = self._read(ctx, kind, ref)
        if row.state == GuestState.CREATING:
            return []
        found: Sequence[MetricPoint] = self._live(ctx, row, lambda api: api.metrics(timeframe, peaks=peaks))
        return found

    def config(self, ctx: Context, kind: GuestKind, ref: str) -> tuple[dict[str, Any], str]:
        """PVE's config as it stands, and its digest."""
        row, _ = self._read(ctx, kind, ref)
        config = self._live(ctx, row, lambda api: api.config())
        return {"data": dict(config.values), "digest": config.digest}, config.digest

    # -- acting

    def start(self, ctx: Context, kind: GuestKind, ref: str) -> Operation:
        """Claims the running quota."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_POWER)
            require_no_template(row)
            claims.claim(tx, row, quota_rules.of_running(cores=row.cores, memory=row.memory))
            return self._act(tx, ctx, row, guest_power.STARTS[kind], guest_power.Parameters(**guest.target(ctx, row)))

    def stop(
        self, ctx: Context, kind: GuestKind, ref: str, *, force: bool = False, timeout: int = 60, surely: bool = False
    ) -> Operation:
        """Shuts down within `timeout` seconds, or, `surely`, is stopped then; `force` cuts the power at once."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_POWER)
            parameters = guest_power.Parameters(**guest.target(ctx, row), force=force, timeout=timeout, surely=surely)
            return self._act(tx, ctx, row, guest_power.STOPS[kind], parameters)

    def reboot(self, ctx: Context, kind: GuestKind, ref: str) -> Operation:
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_POWER)
            return self._act(tx, ctx, row, guest_power.REBOOTS[kind], guest_power.Parameters(**guest.target(ctx, row)))

    def press(self, ctx: Context, kind: GuestKind, ref: str, button: str) -> Operation:
        """`button`: suspend, resume or reset, of a VM that runs; Conflict `guest.unsupported` for a container."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_POWER)
            if kind != GuestKind.VM:
                raise Conflict(
                    f"Proxmox VE has no {button} for containers.", code="guest.unsupported",
                    remedy="Stop the container and start it again.",
                )  # fmt: skip
            parameters = guest_power.Parameters(**guest.target(ctx, row))
            return self._act(tx, ctx, row, guest_power.VM_ONLY[button], parameters)

    def change(
        self, ctx: Context, kind: GuestKind, ref: str, wanted: GuestChange, expected: Collection[str] | None
    ) -> Operation:
        """What grows is claimed now; what shrinks is given back once PVE has it.

        Raises PveChanged where the config's digest is none of `expected`; None: whatever it is.
        """
        digest = self._expected_digest(ctx, kind, ref, expected) if expected is not None else None
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            if wanted.net is not None:
                given = offers.terms(tx, tenants.lock(tx, row.tenant_id), ctx.caller.user)
                wanted = dataclasses.replace(wanted, net=offers.network_change(tx, given, wanted.net))
            return self._change(tx, ctx, row, wanted, digest=digest)

    def delete(self, ctx: Context, kind: GuestKind, ref: str, *, purge: bool, force: bool) -> Operation:
        """A running guest needs `force`: Conflict `guest.running`."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            if row.state == GuestState.RUNNING and not force:
                raise Conflict("The guest runs.", code="guest.running", remedy="Stop it first, or use force=true.")
            parameters = guest_delete.Parameters(
                **guest.target(ctx, row), vmid_rest=self._settings.vmid_rest, force=force, purge=purge
            )
            operation = self._act(tx, ctx, row, guest_delete.DELETES[kind], parameters)
            row.state = GuestState.DELETING
            return operation


def _flag(field: str, text: str | None) -> bool | None:
    if text is None:
        return None
    if text.lower() not in ("0", "1", "false", "true"):
        raise Invalid({field: ["must be true or false"]})
    return text.lower() in ("1", "true")
