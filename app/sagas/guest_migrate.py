"""A guest moves to another node: a running VM goes on running, a running container is started anew there.

Only administrators ask for it, and the administrator's identity does it: tenants have no right to migrate.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.db import guests
from app.domain.errors import Conflict
from app.domain.guests import GuestKind, owner_mark
from app.domain.identifiers import NodeName, Upid, VmId
from app.operations import Run, Saga, Step
from app.pve import GuestApi
from app.sagas import guest
from app.sagas.calls import will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    target: str


# -- functions


def move(run: Run, p: Parameters) -> Upid | None:
    """None where it is there already. PVE restarts a container on the way, so a privileged one stays where it is."""
    if run.again and (lost := _under_way(run, p)) is not None:
        return lost
    api = _where(run, p)
    if api is None:
        raise Conflict(
            "No guest that carries our mark is where it was last seen.", code="guest.missing",
            remedy="Look at the guest's state; an administrator can repair or forget it.",
        )  # fmt: skip
    if api.node == p.target:
        return None
    runs = api.status().status == "running"
    if runs:
        guest.require_unprivileged(p, api.config())
    return api.migrate(NodeName(p.target), running=runs)


def follow(run: Run, p: Parameters) -> Upid | None:
    """Our row says where the guest is now: the end of a migration, and the undo of one."""
    if (working := _under_way(run, p)) is not None:
        return working
    api = _where(run, p)
    if api is not None:
        with run.db.begin() as tx:
            row = guests.get(tx, p.guest)
            if row is not None:
                row.node = api.node
                guest.touch(row)
    guest.settle_back(run, p)
    return None


def _under_way(run: Run, p: Parameters) -> Upid | None:
    tasks = run.gateways.as_admin(p.cluster).node(NodeName(p.node)).tasks(vmid=VmId(p.vmid), source="active")
    return next((row.upid for row in tasks if row.type in ("vzmigrate", "qmigrate")), None)


def _where(run: Run, p: Parameters) -> GuestApi | None:
    """The guest on the node where its config is, by its mark; its target is asked first."""
    admin = run.gateways.as_admin(p.cluster)
    on = dict.fromkeys((NodeName(p.target), guest.node_now(run, p), NodeName(p.node)))
    found = (guest.api_of(admin, p, node) for node in on)
    return next((api for api in found if api.owned_by(owner_mark(p.guest))), None)


# -- definition


def migration_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.migrate",
        Parameters,
        steps=(Step("moved", move, undo=follow, calls=(will("POST {guest}/migrate"),)), Step("settled", follow)),
        result=guest.result,
        point_of_no_return="moved",
    )


MIGRATIONS = {kind: migration_of(kind) for kind in GuestKind}
