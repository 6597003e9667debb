"""A guest out of another one: with disks of its own, or linked to a template's.

It is made by the tenant that has the source, the only one whose token may clone it, and so in that tenant's pool. Is it
another tenant's, it moves to that one's pool once it has been looked at; there is no other way in PVE. A VM may run
while it is cloned; PVE 9.1 clones no container that runs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from app.domain.errors import Conflict, PveLocked
from app.domain.guests import GuestKind, owner_mark
from app.domain.identifiers import GuestName, NodeName, PoolId, StorageId, Upid, VmId
from app.operations import Run, Saga, Step
from app.sagas import guest
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.MadeParameters):
    """`tenant` and `poolid` are those that have the source, or for a template of the catalog the new guest's; `into`
    and `into_pool` always are the new guest's. `storage` None: where the source has its disks."""

    name: str
    source_vmid: int
    full: bool
    storage: str | None
    into: str
    into_pool: str


# -- functions

_TASK = {GuestKind.VM: "qmclone", GuestKind.CT: "vzclone"}


def cloned(
    run: Run, p: guest.MadeParameters, *, source: int, node: str, name: str, full: bool, storage: str | None
) -> Upid | None:
    """The task that makes `p`'s guest out of the one called `source` on `node`; None where it stands already.

    A clone's task carries the source's id, so a lost one is known by what it leaves: a guest with our mark.
    """
    pve = run.gateways.as_tenant(p.tenant)

    def before() -> tuple[bool, None]:
        if guest.settle_half_made(run, p):
            return True, None
        active = pve.node(NodeName(node)).tasks(source="active")
        if any(row.type == _TASK[GuestKind(p.kind)] and row.id == str(source) for row in active):
            raise PveLocked("A clone of this tenant may still be under way.")
        return False, None

    def make() -> Upid:
        upid: Upid = guest.api_at(pve, p.kind, node, source).clone(
            newid=VmId(p.vmid),
            name=GuestName(name),
            full=full,
            pool=PoolId(p.poolid),
            storage=StorageId(storage) if storage is not None else None,
            description=owner_mark(p.guest),
            target=NodeName(p.node) if p.node != node else None,
        )
        return upid

    return guest.make_once(run, before, make)


def clone(run: Run, p: Parameters) -> Upid | None:
    return cloned(run, p, source=p.source_vmid, node=p.node, name=p.name, full=p.full, storage=p.storage)


def hand_over(run: Run, p: Parameters) -> None:
    _put_into(run, p, p.into_pool)


def take_back(run: Run, p: Parameters) -> None:
    """So that who has made it may end it."""
    if guest.look(run, p) is guest.Sight.OURS:
        _put_into(run, p, p.poolid)


def settle(run: Run, p: Parameters) -> None:
    guest.settled_state(run, dataclasses.replace(p, tenant=p.into, poolid=p.into_pool))


def _put_into(run: Run, p: Parameters, poolid: str) -> None:
    if p.poolid == p.into_pool:
        return
    if guest.look(run, p) is not guest.Sight.OURS:
        raise Conflict("This vmid was taken behind our back.", code="vmid.taken", remedy="Try again.")
    run.gateways.as_admin(p.cluster).pools.add_guests(PoolId(poolid), [VmId(p.vmid)], allow_move=True)


# -- definition


def clone_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.clone",
        Parameters,
        steps=(
            Step("reserved", undo=guest.release),
            Step(
                "created",
                clone,
                undo=guest.make_gone,
                calls=(will("POST /nodes/{p.node}/{kind}/{p.source_vmid}/clone"),),
            ),
            Step("verified", guest.check_made),
            Step("tagged", guest.tag, calls=(may("PUT {guest}/config", lambda p: p.vlan is not None),)),
            Step(
                "handed over", hand_over, undo=take_back, calls=(will("PUT /pools", lambda p: p.into_pool != p.poolid),)
            ),
            Step("active", settle),
        ),
        result=guest.result,
    )


CLONES = {kind: clone_of(kind) for kind in GuestKind}
