"""A guest that drifted is brought back to what was agreed: into its pool, with its name, cores and memory.

Only the administrator's identity may put a guest into a pool; what follows is done with the tenant's own token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.db import drift, guests, quota, tenants
from app.domain.errors import Conflict, PveRefused
from app.domain.guests import GuestChange, GuestKind, owner_mark
from app.domain.identifiers import GuestName, PoolId, VmId
from app.domain.quota import Dimension
from app.operations import Run, Saga, Step
from app.policy import drift as rules
from app.pve.changes import options_of
from app.sagas import guest
from app.sagas.calls import may

_CHARGED = {"cores": Dimension.CORES, "memory": Dimension.MEMORY}

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`wanted` are the fields that are to be as agreed, `held` what was allocated before the reservation."""

    wanted: dict[str, Any]
    held: dict[str, int]


# -- functions


def take_back(run: Run, p: Parameters) -> None:
    """The ledger as before, unless the row says already what was agreed; what was written to PVE meanwhile the next
    comparison finds, and charges."""
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is None:
            return
        if any(getattr(row, field) != value for field, value in p.wanted.items()):
            quota.allocate(tx, row, {Dimension(dimension): amount for dimension, amount in p.held.items()})
        drift.compare_again(tx, row)


def join(run: Run, p: Parameters) -> None:
    """Whoever's pool it is in; never a privileged container, and never a stranger that has taken its number."""
    if guest.look(run, p) is not guest.Sight.OURS:
        raise Conflict(
            "No guest that carries our mark is where it was last seen.", code="guest.missing",
            remedy="Forget it, and adopt what stands in its place.",
        )  # fmt: skip
    guest.require_unprivileged(p, guest.as_admin(run, p).config())
    pools = run.gateways.as_admin(p.cluster).pools
    if p.vmid not in pools.get(PoolId(p.poolid)).vmids:
        pools.add_guests(PoolId(p.poolid), [VmId(p.vmid)], allow_move=True)


def write(run: Run, p: Parameters) -> None:
    api = guest.as_tenant(run, p)
    options = options_of(_change(p), GuestKind(p.kind), api.config(), owner_mark(p.guest))
    if options:
        api.update({option: value for option, value in options.items() if value is not None})


def settle(run: Run, p: Parameters) -> dict[str, Any]:
    """The last word that PVE has in this."""
    api = guest.as_tenant(run, p)
    if options_of(_change(p), GuestKind(p.kind), api.config(), owner_mark(p.guest)):
        raise PveRefused("The guest is not as it was asked for.", code="guest.differs")
    return {"seen": guest.read_back(p, api)}


def agree(run: Run, p: Parameters) -> None:
    """Row and ledger say what was agreed; what could not be brought back (disk, node) stays told."""
    with run.db.begin() as tx:
        tenants.lock(tx, p.tenant)
        row = guests.get(tx, p.guest)
        if row is None:
            return
        for field, value in p.wanted.items():
            setattr(row, field, value)
        quota.allocate(tx, row, {_CHARGED[field]: p.wanted[field] for field in _CHARGED if field in p.wanted})
        guest.write_back(tx, p, run.outputs["settled"]["seen"])
        known = drift.known(tx, row.cluster_id, row.vmid)
        if known is not None:
            left = {
                field: one for field, one in known.differences.items() if field != rules.POOL and field not in p.wanted
            }
            drift.note(tx, drift.of_guest(row), rules.kind_of(left, ()), left)
        drift.compare_again(tx, row)


def _change(p: Parameters) -> GuestChange:
    name = p.wanted.get("name")
    return GuestChange(
        name=GuestName(name) if name is not None else None,
        cores=p.wanted.get("cores"),
        memory=p.wanted.get("memory"),
    )


# -- definition

SAGA = Saga(
    "guest.repair",
    Parameters,
    steps=(
        Step("reserved", undo=take_back),
        Step("joined", join, calls=(may("PUT /pools"),)),
        Step("written", write, calls=(may("PUT {guest}/config"),)),
        Step("settled", settle),
        Step("agreed", agree),
    ),
    result=guest.result,
)
