"""A container: made unprivileged in its tenant's pool with the tenant's own token, out of an archive or as a full clone
of a published template; read back, started if asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.domain.guests import GuestKind, Network, owner_mark
from app.domain.identifiers import BridgeName, GuestName, NodeName, PoolId, StorageId, Tag, Upid, VmId, Volid
from app.operations import Run, Saga, Step
from app.pve import ContainerCreate, ContainerSettings
from app.sagas import guest
from app.sagas.calls import may, will
from app.sagas.guest_clone import cloned

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.MadeParameters):
    """`template` is an archive's volid; None for a clone of `template_vmid` on its node, which PVE gives neither
    password nor keys. `password` is sealed to the guest's id; `memory`, `swap` MiB, `disk_gb` GiB."""

    name: str
    template: str | None
    template_vmid: int | None
    template_node: str | None
    storage: str
    disk_gb: int
    swap: int
    net: dict[str, Any]
    ssh_keys: list[str]
    password: str | None
    nesting: bool
    tags: list[str]
    start: bool
    onboot: bool = False
    kind: str = GuestKind.CT


# -- functions


def create(run: Run, p: Parameters) -> Upid | None:
    """Dispatched before and then lost, or delivered twice: follow that task, or take what it left; else make it."""
    return make(run, p, lambda: guest.created_before(run, p, "vzcreate"))


def make(run: Run, p: Parameters, before: Callable[[], tuple[bool, Upid | None]]) -> Upid | None:
    """`before` is `guest.make_once`'s, of what is made out of an archive."""
    if p.template_vmid is not None:
        node = p.template_node or p.node
        return cloned(run, p, source=p.template_vmid, node=node, name=p.name, full=True, storage=p.storage)
    container = run.gateways.as_tenant(p.tenant).node(NodeName(p.node)).lxc(VmId(p.vmid))
    return guest.make_once(run, before, lambda: container.create(spec=_wanted(run, p)))


def configure(run: Run, p: Parameters) -> None:
    """A clone comes with its template's size, card and tags; PVE takes no tags from a tenant while it makes one of an
    archive."""
    api = guest.as_tenant(run, p)
    if p.template_vmid is not None:
        api.apply(_settings(p))
    elif p.tags:
        api.update({"tags": ";".join(Tag.parse(tag) for tag in p.tags)})
    if p.onboot:
        api.update({"onboot": "1"})


def grow(run: Run, p: Parameters) -> Upid | None:
    return guest.grow(run, p, p.disk_gb) if p.template_vmid is not None else None


def start(run: Run, p: Parameters) -> Upid | None:
    return guest.start(run, p, is_new=True) if p.start else None


def _wanted(run: Run, p: Parameters) -> ContainerCreate:
    assert p.template is not None
    return ContainerCreate(
        settings=_settings(p),
        ostemplate=Volid(p.template),
        storage=StorageId(p.storage),
        disk_gb=p.disk_gb,
        ssh_keys=tuple(p.ssh_keys),
        password=run.gateways.open(p.password, belongs_to=p.guest) if p.password else None,
        pool=PoolId(p.poolid),
        description=owner_mark(p.guest),
    )


def _settings(p: Parameters) -> ContainerSettings:
    return ContainerSettings(
        hostname=GuestName(p.name),
        memory=p.memory,
        swap=p.swap,
        cores=p.cores,
        net=network(p.net),
        tags=tuple(Tag(tag) for tag in p.tags),
        nesting=p.nesting,
    )


def network(stored: dict[str, Any]) -> Network:
    return Network(**{**stored, "bridge": BridgeName(stored["bridge"])})


# -- definition

SAGA = Saga(
    "ct.create",
    Parameters,
    steps=(
        Step("reserved", undo=guest.release),
        Step(
            "created",
            create,
            undo=guest.make_gone,
            calls=(
                will("POST /nodes/{p.node}/lxc", lambda p: p.template_vmid is None),
                will("POST /nodes/{p.template_node}/lxc/{p.template_vmid}/clone", lambda p: p.template_vmid),
            ),
        ),
        Step(
            "configured",
            configure,
            calls=(will("PUT {guest}/config", lambda p: p.template_vmid or p.tags or p.onboot),),
        ),
        Step("grown", grow, calls=(may("PUT {guest}/resize", lambda p: p.template_vmid),)),
        Step("verified", guest.check_made),
        Step("started", start, calls=(will("POST {guest}/status/start", lambda p: p.start),)),
        Step("active", guest.settled_state),
    ),
    result=guest.result,
    secrets=("password",),
)
