"""A VM in its tenant's pool: an empty disk, perhaps with an ISO, a copy of a disk image, or a full clone of a published
template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain.guests import CloudInit, GuestKind, owner_mark
from app.domain.identifiers import GuestName, NodeName, PoolId, StorageId, Tag, Upid, VmId, Volid
from app.operations import Run, Saga, Step
from app.pve import VmCreate, VmSettings
from app.sagas import guest
from app.sagas.calls import may, will
from app.sagas.ct_create import network
from app.sagas.guest_clone import cloned

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.MadeParameters):
    """`template_vmid` and its node for a clone, else a disk that is empty or a copy of `image`. `password` is sealed to
    the guest's id."""

    name: str
    storage: str
    disk_gb: int
    net: dict[str, Any]
    iso: str | None
    image: str | None
    template_vmid: int | None
    template_node: str | None
    cloud_init: dict[str, Any] | None
    password: str | None
    tags: list[str]
    start: bool
    onboot: bool = False
    kind: str = GuestKind.VM


# -- functions


def create(run: Run, p: Parameters) -> Upid | None:
    """Dispatched before and then lost, or delivered twice: follow that task, or take what it left; else make it."""
    if p.template_vmid is not None:
        node = p.template_node or p.node
        return cloned(run, p, source=p.template_vmid, node=node, name=p.name, full=True, storage=p.storage)
    vm = run.gateways.as_tenant(p.tenant).node(NodeName(p.node)).qemu(VmId(p.vmid))
    return guest.make_once(
        run, lambda: guest.created_before(run, p, "qmcreate"), lambda: vm.create(spec=_wanted(run, p))
    )


def configure(run: Run, p: Parameters) -> None:
    """A clone comes with its template's size, network and tags."""
    if p.template_vmid is not None:
        guest.as_tenant(run, p).apply(_settings(run, p))
    if p.onboot:
        guest.as_tenant(run, p).update({"onboot": "1"})


def grow(run: Run, p: Parameters) -> Upid | None:
    is_copy = p.template_vmid is not None or p.image is not None
    return guest.grow(run, p, p.disk_gb) if is_copy else None


def start(run: Run, p: Parameters) -> Upid | None:
    return guest.start(run, p, is_new=True) if p.start else None


def _wanted(run: Run, p: Parameters) -> VmCreate:
    return VmCreate(
        settings=_settings(run, p),
        storage=StorageId(p.storage),
        disk_gb=p.disk_gb,
        iso=Volid(p.iso) if p.iso else None,
        image=Volid(p.image) if p.image else None,
        pool=PoolId(p.poolid),
        description=owner_mark(p.guest),
    )


def _settings(run: Run, p: Parameters) -> VmSettings:
    return VmSettings(
        name=GuestName(p.name),
        memory=p.memory,
        cores=p.cores,
        net=network(p.net),
        tags=tuple(Tag(tag) for tag in p.tags),
        cloud_init=_cloud_init(run, p),
    )


def _cloud_init(run: Run, p: Parameters) -> CloudInit | None:
    if p.cloud_init is None:
        return None
    password = run.gateways.open(p.password, belongs_to=p.guest) if p.password else None
    keys = tuple(p.cloud_init["ssh_keys"])
    return CloudInit(**{**p.cloud_init, "ssh_keys": keys, "password": password})


# -- definition

SAGA = Saga(
    "vm.create",
    Parameters,
    steps=(
        Step("reserved", undo=guest.release),
        Step(
            "created",
            create,
            undo=guest.make_gone,
            calls=(
                will("POST /nodes/{p.node}/qemu", lambda p: p.template_vmid is None),
                will("POST /nodes/{p.template_node}/qemu/{p.template_vmid}/clone", lambda p: p.template_vmid),
            ),
        ),
        Step("configured", configure, calls=(will("PUT {guest}/config", lambda p: p.template_vmid),)),
        Step("grown", grow, calls=(may("PUT {guest}/resize", lambda p: p.template_vmid or p.image),)),
        Step("verified", guest.check_made),
        Step("started", start, calls=(will("POST {guest}/status/start", lambda p: p.start),)),
        Step("active", guest.settled_state),
    ),
    result=guest.result,
    secrets=("password",),
)
