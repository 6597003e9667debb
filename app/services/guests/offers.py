"""What a tenant may make a guest from and where it may stand: published templates, granted storages and bridges."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.db import clusters, guests, plans, templates
from app.db.models import Template, Tenant
from app.db.session import Tx, rehearsal_of
from app.domain.errors import Invalid
from app.domain.guests import GuestKind, Network, NetworkChange, Placement, VmSpec
from app.domain.identifiers import BridgeName, MalformedIdentifier, StorageId, Volid
from app.domain.storages import Content
from app.policy import placement

#: What a storage must take to hold a guest's disks.
CONTENT = {GuestKind.VM: "images", GuestKind.CT: "rootdir"}


@dataclass(frozen=True)
class Terms:
    """What somebody may use in a tenant: what it was granted, and what the plans say that apply: its own, and that of
    his group, whose word comes first. `bridges[0]` is taken where none is named; `flavors` (ids) None: all."""

    tenant: Tenant
    storages: frozenset[str]
    bridges: Sequence[str]
    first_storage: str | None
    vlan: int | None
    flavors: frozenset[str] | None


def terms(tx: Tx, tenant: Tenant, user: str) -> Terms:
    own = plans.of_user(tx, user)
    both = [plan for plan in (own, plans.of_tenant(tx, tenant.id)) if plan is not None]
    storages, bridges = frozenset(tenant.storages), tenant.bridges
    if own is not None and own.storages is not None:
        storages = storages.intersection(own.storages)
    if own is not None and own.bridges is not None:
        bridges = [bridge for bridge in bridges if bridge in own.bridges]
    first = next((plan.default_bridge for plan in both if plan.default_bridge in bridges), None)
    allowed = [frozenset(plan.flavors) for plan in both if plan.flavors is not None]
    return Terms(
        tenant, storages, sorted(bridges, key=lambda bridge: bridge != first),
        first_storage=next((plan.default_storage for plan in both if plan.default_storage is not None), None),
        vlan=next((plan.vlan for plan in both if plan.vlan is not None), None),
        flavors=frozenset.intersection(*allowed) if allowed else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Medium:
    """What a guest is made from: an archive, an ISO or a disk image (`volid`), or a template guest (`vmid`); `nodes`
    have it. `entry` is the catalog's, where it is one."""

    name: str | None = None
    volid: Volid | None = None
    vmid: int | None = None
    nodes: frozenset[str] | None = None
    entry: str | None = None

    @property
    def node(self) -> str | None:
        """Where the template guest is."""
        return min(self.nodes) if self.vmid is not None and self.nodes else None

    @property
    def iso(self) -> Volid | None:
        return self.volid if self.volid is not None and self.volid.folder == Content.ISO else None

    @property
    def image(self) -> Volid | None:
        return self.volid if self.volid is not None and self.volid.folder == Content.IMPORT else None


def ct_medium(tx: Tx, tenant: Tenant, ref: str, disk_gb: int) -> Medium:
    """A container's template: a published catalog entry, or an archive on a granted storage."""
    entry = templates.published(tx, tenant.cluster_id, GuestKind.CT, ref)
    if entry is None:
        return _volume(tx, tenant, "template", ref, Content.VZTMPL)
    if entry.volid is not None:
        return _of_entry(tx, tenant, "template", entry, Volid(entry.volid))
    return _of_guest(tx, tenant, GuestKind.CT, entry, disk_gb)


def vm_medium(tx: Tx, tenant: Tenant, spec: VmSpec) -> Medium:
    if spec.iso is not None:
        return _volume(tx, tenant, "iso", spec.iso, Content.ISO)
    if spec.image is not None:
        return _image(tx, tenant, spec.image, spec.disk_gb)
    if spec.template is None:
        return Medium()
    entry = templates.published(tx, tenant.cluster_id, GuestKind.VM, spec.template)
    if entry is None:
        raise Invalid({"template": ["is not a template that you may use"]})
    if entry.volid is not None:
        _require_as_large(entry, spec.disk_gb)
        return _of_entry(tx, tenant, "template", entry, Volid(entry.volid))
    return _of_guest(tx, tenant, GuestKind.VM, entry, spec.disk_gb)


def _of_guest(tx: Tx, tenant: Tenant, kind: GuestKind, entry: Template, disk_gb: int) -> Medium:
    """The entry's template guest, to be cloned where it stands."""
    seen = clusters.seen_guest(tx, tenant.cluster_id, entry.vmid) if entry.vmid else None
    if seen is None or seen.kind != kind:
        raise Invalid({"template": ["is not a template that you may use"]})
    _require_as_large(entry, disk_gb)
    return Medium(name=entry.name, vmid=entry.vmid, nodes=frozenset([seen.node]), entry=entry.id)


def _image(tx: Tx, tenant: Tenant, ref: str, disk_gb: int) -> Medium:
    """A disk image: a published catalog entry, or a volume of a granted storage."""
    entry = templates.published(tx, tenant.cluster_id, GuestKind.VM, ref)
    if entry is None:
        return _volume(tx, tenant, "image", ref, Content.IMPORT)
    if entry.volid is None or Volid(entry.volid).folder != Content.IMPORT:
        raise Invalid({"image": ["is not a disk image that you may use"]})
    _require_as_large(entry, disk_gb)
    return _of_entry(tx, tenant, "image", entry, Volid(entry.volid))


def _require_as_large(entry: Template, disk_gb: int) -> None:
    if disk_gb < entry.disk_gb:
        raise Invalid({"disk_gb": [f"must be at least {entry.disk_gb}, the size of the template's disk"]})


def _of_entry(tx: Tx, tenant: Tenant, field: str, entry: Template, volid: Volid) -> Medium:
    """The entry's medium: what lies on a storage that is not granted PVE does not let the tenant use."""
    medium = _volume(tx, tenant, field, volid, Content(volid.folder))
    return dataclasses.replace(medium, name=entry.name, entry=entry.id)


def _volume(tx: Tx, tenant: Tenant, field: str, ref: str, content: Content) -> Medium:
    """A medium of a granted storage; what is not granted and what is not there look the same."""
    what = "disk image" if content == Content.IMPORT else "template"
    refused = Invalid({field: [f"is not a {what} that you may use"]})
    try:
        volid = Volid.parse(ref)
    except MalformedIdentifier:
        raise refused from None
    nodes = clusters.volume_nodes(tx, tenant.cluster_id, volid, content)
    if volid.storage not in tenant.storages or not nodes:
        raise refused
    return Medium(name=volid, volid=volid, nodes=frozenset(nodes))


def network(tx: Tx, given: Terms, asked: Network) -> Network:
    """On a bridge that may be used, the first of them where none is named; with the plan's VLAN."""
    if asked.bridge is not None:
        require_bridge(given, asked.bridge)
    elif not given.bridges:
        raise Invalid({"net": {"bridge": ["your tenant has no bridge"]}})
    bridge = asked.bridge or BridgeName(given.bridges[0])
    return dataclasses.replace(asked, bridge=bridge, vlan=_vlan(tx, given, asked.vlan))


def network_change(tx: Tx, given: Terms, asked: NetworkChange) -> NetworkChange:
    """As `network`: whatever is changed about a card, it comes into the plan's VLAN, and none is taken out of it."""
    if asked.bridge is not None:
        require_bridge(given, asked.bridge)
    if asked.bridge is None and asked.vlan is None and given.vlan is None:
        return asked
    return dataclasses.replace(asked, vlan=_vlan(tx, given, asked.vlan))


def require_bridge(given: Terms, bridge: str) -> None:
    if bridge not in given.bridges:
        raise Invalid({"net": {"bridge": ["is not a bridge that you may use"]}})


def _vlan(tx: Tx, given: Terms, asked: int | None) -> int | None:
    """The plan's; where there is none, any that is no other plan's. Raises Invalid."""
    if asked is None or asked == given.vlan:
        return given.vlan
    if given.vlan is not None or plans.has_vlan(tx, asked):
        raise Invalid({"net": {"vlan": ["is not a VLAN that you may use"]}})
    return asked


def require_no_log_in(medium: Medium, given: Mapping[str, object]) -> None:
    """Of a container's medium. Raises Invalid for a password or keys that a clone is to have: Proxmox VE sets them only
    while it unpacks an archive."""
    if medium.vmid is None:
        return
    if wrong := [name for name, value in given.items() if value]:
        raise Invalid({name: ["cannot be set: a clone has its template's own"] for name in wrong})


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


def place(tx: Tx, given: Terms, spec: Sized, kind: GuestKind, medium: Medium) -> placement.Place:
    wanted = placement.Wanted(
        memory=spec.memory, disk_gb=spec.disk_gb, content=CONTENT[kind], granted=given.storages,
        storage=spec.storage, nodes=medium.nodes, first=given.first_storage,
        affinity=frozenset(spec.placement.affinity), anti_affinity=frozenset(spec.placement.anti_affinity),
    )  # fmt: skip
    return _choose(tx, given.tenant, wanted)


def place_on(
    tx: Tx, given: Terms, kind: GuestKind, node: str, *, disk_gb: int, named: StorageId | None
) -> placement.Place:
    """A granted storage of this node that takes such a guest's disks and has room; the roomiest where none is named."""
    wanted = placement.Wanted(
        memory=0, disk_gb=disk_gb, content=CONTENT[kind], granted=given.storages, storage=named, nodes=[node]
    )  # fmt: skip
    return _choose(tx, given.tenant, wanted)


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
    found = placement.choose(wanted, nodes, storages, neighbours)
    if (rehearsal := rehearsal_of(tx)) is not None:
        rehearsal.places.append(found)
    return found
