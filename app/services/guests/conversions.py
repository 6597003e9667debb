"""What a guest is turned into: a template, another node's guest, one with another log-in, a fresh one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from app.db import clusters, snapshots, tenants
from app.db.models import Guest, Tenant
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid
from app.domain.guests import CloudInit, GuestKind, GuestState, LogIn, Network, Rebuild, VmSpec
from app.domain.identifiers import BridgeName, GuestName, NodeName, StorageId
from app.domain.operations import Operation
from app.policy import quota as quota_rules
from app.sagas import guest, guest_credentials, guest_migrate, guest_rebuild, guest_template
from app.sagas.claims import claim
from app.services.guests import offers
from app.services.guests.making import Copy
from app.services.guests.on_guest import OnGuest, require_no_template, to_storage


class Conversions(OnGuest):
    def to_template(self, ctx: Context, kind: GuestKind, ref: str) -> Operation:
        """For good, and charged as before. Raises Conflict for one that runs, has snapshots, or is one already."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            if row.state != GuestState.STOPPED:
                raise Conflict("The guest is not stopped.", code="guest.running", remedy="Stop it first.")
            _require_no_snapshots(tx, row)
            parameters = guest.GuestParameters(**guest.target(ctx, row))
            return self._act(tx, ctx, row, guest_template.TEMPLATES[kind], parameters)

    def migrate(self, ctx: Context, kind: GuestKind, ref: str, node: NodeName) -> Operation:
        """Raises Invalid for a node that is not there, or does not have the guest's storage."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_MIGRATE)
            _require_home(tx, row, node)
            parameters = guest_migrate.Parameters(**guest.target(ctx, row), target=node)
            return self._act(tx, ctx, row, guest_migrate.MIGRATIONS[kind], parameters)

    def change_log_in(self, ctx: Context, kind: GuestKind, ref: str, wanted: LogIn) -> Operation:
        """Conflict `guest.unsupported` for a container."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            if kind != GuestKind.VM:
                raise Conflict(
                    "Proxmox VE cannot change a container's password or keys.", code="guest.unsupported",
                    remedy="Change them inside the container, or rebuild it with new ones.",
                )  # fmt: skip
            parameters = guest_credentials.Parameters(
                **guest.target(ctx, row), password=self._seal(wanted.password, row),
                ssh_keys=list(wanted.ssh_keys) if wanted.ssh_keys is not None else None,
            )  # fmt: skip
            return self._act(tx, ctx, row, guest_credentials.SAGA, parameters)

    def rebuild(self, ctx: Context, kind: GuestKind, ref: str, wanted: Rebuild) -> Operation:
        """Of a stopped guest without snapshots, or of one whose rebuilding has failed. Number, size, cards, notes and
        tags stay; what was on its disks is gone, and all its disks become one.

        Where its node does not have the template it goes to one that does. Raises Invalid for a template that is not
        the tenant's to use, is larger than the guest, or lies where the guest's storage is not.
        """
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            medium = _medium(tx, row, wanted.template)
            if row.kind == GuestKind.CT:
                offers.require_no_log_in(medium, dataclasses.asdict(wanted.log_in))
        _require_stopped(row)
        values: Mapping[str, str] = {}
        if row.state == GuestState.STOPPED:
            values = self._live(ctx, row, lambda api: api.config()).values
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            _require_stopped(row)
            _require_no_snapshots(tx, row)
            tenant = tenants.lock(tx, row.tenant_id)
            given = offers.terms(tx, tenant, ctx.caller.user)
            for bridge in _bridges(values):
                offers.require_bridge(given, bridge)
            node = _node(tx, row, given, medium)
            size = quota_rules.of_guest(cores=row.cores, memory=row.memory, disk_gb=row.disk_gb)
            running = quota_rules.of_running(cores=row.cores, memory=row.memory) if wanted.start else {}
            claim(tx, row, {**size, **running})
            net = offers.network(tx, given, Network(bridge=next(map(BridgeName, _bridges(values)), None)))
            parameters = self._of_kind(ctx, tenant, row, wanted, medium, values, net, node)
            to = to_storage(row) if medium.vmid else None
            operation = self._act(tx, ctx, row, guest_rebuild.REBUILDS[kind], parameters, to)
            row.state = GuestState.CREATING
            return operation

    def _of_kind(
        self, ctx: Context, tenant: Tenant, row: Guest, wanted: Rebuild, medium: offers.Medium,
        values: Mapping[str, str], net: Network, node: str,
    ) -> guest_rebuild.Parameters:  # fmt: skip
        log_in = wanted.log_in
        common: dict[str, Any] = {
            **guest.target(ctx, row), "node": node, "token_id": tenant.token_id, "vmid_rest": self._settings.vmid_rest,
            "memory": row.memory, "cores": row.cores, "name": row.name, "storage": row.storage,
            "disk_gb": row.disk_gb, "net": dataclasses.asdict(net), "vlan": net.vlan, "tags": list(row.tags),
            "start": wanted.start, "password": self._seal(log_in.password, row), "made_from": medium.name,
            "entry": medium.entry,
        }  # fmt: skip
        kept: dict[str, str | None] = {name: value for name, value in values.items() if _KEPT.fullmatch(name)}
        if values and "net0" not in values:
            kept["net0"] = None
        if row.kind == GuestKind.CT:
            return guest_rebuild.ContainerParameters(
                **common, template=medium.volid, template_vmid=medium.vmid, template_node=medium.node,
                swap=int(values.get("swap", "512")),
                ssh_keys=list(log_in.ssh_keys or ()), nesting="nesting=1" in values.get("features", ""), kept=kept,
            )  # fmt: skip
        told: dict[str, str | None] = {name: value for name, value in values.items() if _TOLD.fullmatch(name)}
        if log_in.ssh_keys is not None:
            told.pop("sshkeys", None)
        init = CloudInit(ssh_keys=log_in.ssh_keys or ()) if told or log_in != LogIn() else None
        return guest_rebuild.VmParameters(
            **common, iso=None, image=medium.image, template_vmid=medium.vmid, template_node=medium.node,
            cloud_init=dataclasses.asdict(init) if init is not None else None, kept={**kept, **told},
        )  # fmt: skip


#: Options that a rebuilt guest has as before: both kinds', and what cloud-init tells a VM.
_KEPT = re.compile(r"net\d+|description|onboot", re.ASCII)
_TOLD = re.compile(r"ipconfig\d+|nameserver|searchdomain|ciuser|sshkeys", re.ASCII)
_BRIDGE = re.compile(r"(?:^|,)bridge=([^,]+)")


def _bridges(values: Mapping[str, str]) -> list[str]:
    """Of all its cards, the first card's first."""
    cards = [value for name, value in sorted(values.items()) if re.fullmatch(r"net\d+", name, re.ASCII)]
    return [found.group(1) for card in cards if (found := _BRIDGE.search(card)) is not None]


def _medium(tx: Tx, row: Guest, template: str) -> offers.Medium:
    tenant = tenants.get(tx, row.tenant_id)
    assert tenant is not None
    try:
        if row.kind == GuestKind.CT:
            medium = offers.ct_medium(tx, tenant, template, row.disk_gb)
        else:
            spec = VmSpec(GuestName(row.name), disk_gb=row.disk_gb, template=template)
            medium = offers.vm_medium(tx, tenant, spec)
            if medium.iso is not None:
                raise Invalid({"template": ["is a medium to install from, and no template of a VM"]})
    except Invalid as wrong:
        if "template" in wrong.members["errors"]:
            raise
        raise Invalid({"template": ["has a larger disk than the guest"]}) from None
    return medium


def _node(tx: Tx, row: Guest, given: offers.Terms, medium: offers.Medium) -> str:
    """The guest's own where it has the template, else the best that has it and the guest's storage."""
    there = {one.node for one in clusters.storages(tx, row.cluster_id) if one.name == row.storage and one.available}
    nodes = sorted(there.intersection(medium.nodes or ()))
    if not nodes or row.storage not in given.storages:
        raise Invalid({"template": [f"is on no node that has the guest's storage, {row.storage}, for your tenant"]})
    if row.node in nodes:
        return row.node
    asked = Copy(row.name, row.cores, row.memory, row.disk_gb, row.tags, storage=StorageId(row.storage))
    return offers.place(tx, given, asked, GuestKind(row.kind), medium).node


def _require_stopped(row: Guest) -> None:
    if row.state not in (GuestState.STOPPED, GuestState.FAILED):
        raise Conflict("The guest is not stopped.", code="guest.running", remedy="Stop it first.")


def _require_no_snapshots(tx: Tx, row: Guest) -> None:
    if snapshots.of_guest(tx, row.id):
        raise Conflict("The guest has snapshots.", code="guest.has_snapshots", remedy="Delete its snapshots first.")


def _require_home(tx: Tx, row: Guest, node: str) -> None:
    if not any(one.name == node and one.online for one in clusters.nodes(tx, row.cluster_id)):
        raise Invalid({"node": ["is not a node of the guest's cluster that is online"]})
    if not any(one.node == node and one.name == row.storage for one in clusters.storages(tx, row.cluster_id)):
        raise Invalid({"node": [f"does not have the guest's storage, {row.storage}"]})
