"""What a tenant may make a guest from and where it may stand: published templates, granted storages and bridges."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

from app.db import clusters, guests, templates
from app.db.models import Template, Tenant
from app.db.session import Tx
from app.domain.errors import Invalid
from app.domain.guests import GuestKind, Network, Placement, VmSpec
from app.domain.identifiers import BridgeName, MalformedIdentifier, StorageId, Volid
from app.policy import placement

#: What a storage must take to hold a guest's disks.
CONTENT = {GuestKind.VM: "images", GuestKind.CT: "rootdir"}


@dataclass(frozen=True)
class Medium:
    """What a guest is made from: an archive or ISO (`volid`) or a template guest (`vmid`); `nodes` have it. `entry` is
    the catalog's, where it is one."""

    name: str | None = None
    volid: Volid | None = None
    vmid: int | None = None
    nodes: frozenset[str] | None = None
    entry: str | None = None


def archive(tx: Tx, tenant: Tenant, ref: str) -> Medium:
    """A container's template: a published catalog entry, or an archive on a granted storage."""
    entry = templates.published(tx, tenant.cluster_id, GuestKind.CT, ref)
    if entry is not None and entry.volid is not None:
        return _of_entry(tx, tenant, entry, entry.volid, "vztmpl")
    return _volume(tx, tenant, "template", ref, "vztmpl")


def vm_medium(tx: Tx, tenant: Tenant, spec: VmSpec) -> Medium:
    if spec.iso is not None:
        return _volume(tx, tenant, "iso", spec.iso, "iso")
    if spec.template is None:
        return Medium()
    entry = templates.published(tx, tenant.cluster_id, GuestKind.VM, spec.template)
    if entry is not None and entry.volid is not None:
        return _of_entry(tx, tenant, entry, entry.volid, "iso")
    seen = clusters.seen_guest(tx, tenant.cluster_id, entry.vmid) if entry is not None and entry.vmid else None
    if entry is None or seen is None or seen.kind != GuestKind.VM:
        raise Invalid({"template": ["is not a template that you may use"]})
    if spec.disk_gb < entry.disk_gb:
        raise Invalid({"disk_gb": [f"must be at least {entry.disk_gb}, the size of the template's disk"]})
    return Medium(name=entry.name, vmid=entry.vmid, nodes=frozenset([seen.node]), entry=entry.id)


def _of_entry(tx: Tx, tenant: Tenant, entry: Template, volid: str, content: str) -> Medium:
    """The entry's medium: what lies on a storage that is not granted PVE does not let the tenant use."""
    medium = _volume(tx, tenant, "template", volid, content)
    return dataclasses.replace(medium, name=entry.name, entry=entry.id)


def _volume(tx: Tx, tenant: Tenant, field: str, ref: str, content: str) -> Medium:
    """A medium of a granted storage; what is not granted and what is not there look the same."""
    try:
        volid = Volid.parse(ref)
    except MalformedIdentifier:
        raise Invalid({field: ["is not a template that you may use"]}) from None
    nodes = clusters.volume_nodes(tx, tenant.cluster_id, volid, content)
    if volid.storage not in tenant.storages or not nodes:
        raise Invalid({field: ["is not a template that you may use"]})
    return Medium(name=volid, volid=volid, nodes=frozenset(nodes))


def network(tenant: Tenant, asked: Network) -> Network:
    """On a granted bridge; the first of them where none is named."""
    if asked.bridge is None:
        if not tenant.bridges:
            raise Invalid({"net": {"bridge": ["your tenant has no bridge"]}})
        return dataclasses.replace(asked, bridge=BridgeName(tenant.bridges[0]))
    require_bridge(tenant, asked.bridge)
    return asked


def require_bridge(tenant: Tenant, bridge: str) -> None:
    if bridge not in tenant.bridges:
        raise Invalid({"net": {"bridge": ["is not a bridge that you may use"]}})


class Sized(Protocol):
    """What needs a place. `memory` MiB, `disk_gb` GiB; `storage` None: any."""

    @property
    def memory(self) -> int: ...
    @property
    def disk_gb(self) -> int: ...
    @property
    def storage(self) -> StorageId | None: ...
    @property
    def placement(self) -> Placement: ...


def place(tx: Tx, tenant: Tenant, spec: Sized, kind: GuestKind, medium: Medium) -> placement.Place:
    wanted = placement.Wanted(
        memory=spec.memory, disk_gb=spec.disk_gb, content=CONTENT[kind], granted=frozenset(tenant.storages),
        storage=spec.storage, nodes=medium.nodes, affinity=frozenset(spec.placement.affinity),
        anti_affinity=frozenset(spec.placement.anti_affinity),
    )  # fmt: skip
    return _choose(tx, tenant, wanted)


def place_on(
    tx: Tx, tenant: Tenant, kind: GuestKind, node: str, *, disk_gb: int, named: StorageId | None
) -> placement.Place:
    """A granted storage of this node that takes such a guest's disks and has room; the roomiest where none is named."""
    wanted = placement.Wanted(
        memory=0, disk_gb=disk_gb, content=CONTENT[kind], granted=frozenset(tenant.storages),
        storage=named, nodes=[node],
    )  # fmt: skip
    return _choose(tx, tenant, wanted)


def _choose(tx: Tx, tenant: Tenant, wanted: placement.Wanted) -> placement.Place:
    nodes = [
        placement.NodeFacts(n.name, n.online, n.cores, n.memory, n.memory_used)
        for n in clusters.nodes(tx, tenant.cluster_id)
    ]
    storages = [
        placement.StorageFacts(s.node, s.name, s.available, frozenset(s.content), s.total - s.used)
        for s in clusters.storages(tx, tenant.cluster_id)
    ]
    neighbours = []
    if wanted.affinity or wanted.anti_affinity:
        neighbours = [placement.Neighbour(node, frozenset(tags)) for node, tags in guests.tagged(tx, tenant.id)]
    return placement.choose(wanted, nodes, storages, neighbours)
