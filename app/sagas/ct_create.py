"""A container: made unprivileged in its tenant's pool with the tenant's own token, read back, started if asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain.guests import GuestKind, Network, owner_mark
from app.domain.identifiers import BridgeName, GuestName, NodeName, PoolId, StorageId, Tag, Upid, VmId, Volid
from app.operations import Run, Saga, Step
from app.pve import ContainerCreate
from app.sagas import guest
from app.sagas.calls import will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.MadeParameters):
    """`password` is sealed to the guest's id; `memory`, `swap` MiB, `disk_gb` GiB."""

    name: str
    template: str
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
    container = run.gateways.as_tenant(p.tenant).node(NodeName(p.node)).lxc(VmId(p.vmid))
    return guest.make_once(
        run, lambda: guest.created_before(run, p, "vzcreate"), lambda: container.create(spec=wanted(run, p))
    )


def configure(run: Run, p: Parameters) -> None:
    """PVE takes no tags from a tenant while it makes a container."""
    wanted = {"tags": ";".join(Tag.parse(tag) for tag in p.tags)} if p.tags else {}
    if p.onboot:
        wanted["onboot"] = "1"
    if wanted:
        guest.as_tenant(run, p).update(wanted)


def start(run: Run, p: Parameters) -> Upid | None:
    return guest.start(run, p) if p.start else None


def wanted(run: Run, p: Parameters) -> ContainerCreate:
    return ContainerCreate(
        hostname=GuestName(p.name),
        ostemplate=Volid(p.template),
        storage=StorageId(p.storage),
        disk_gb=p.disk_gb,
        memory=p.memory,
        swap=p.swap,
        cores=p.cores,
        net=network(p.net),
        ssh_keys=tuple(p.ssh_keys),
        password=run.gateways.open(p.password, belongs_to=p.guest) if p.password else None,
        nesting=p.nesting,
        pool=PoolId(p.poolid),
        description=owner_mark(p.guest),
    )


def network(stored: dict[str, Any]) -> Network:
    return Network(**{**stored, "bridge": BridgeName(stored["bridge"])})


# -- definition

SAGA = Saga(
    "ct.create",
    Parameters,
    steps=(
        Step("reserved", undo=guest.release),
        Step("created", create, undo=guest.make_gone, calls=(will("POST /nodes/{p.node}/lxc"),)),
        Step("verified", guest.check_made),
        Step("configured", configure, calls=(will("PUT {guest}/config", lambda p: p.tags or p.onboot),)),
        Step("started", start, calls=(will("POST {guest}/status/start", lambda p: p.start),)),
        Step("active", guest.settled_state),
    ),
    result=guest.result,
    secrets=("password",),
)
