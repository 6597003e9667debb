"""A guest begins anew from a template: destroyed, and made once more under its own number, in its own pool.

Half-way there is no way back, as what was on its disks is gone: then the guest is `failed`. It keeps its row, number
and charge and has nothing in PVE; it can be rebuilt once more, or deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.db import guests
from app.db.models import Template
from app.domain.errors import Conflict, PveLocked
from app.domain.guests import GuestKind, GuestState, owner_mark
from app.domain.identifiers import Upid
from app.operations import Again, Run, Saga, Step
from app.pve.guests import marked, unmarked
from app.sagas import ct_create, guest, vm_create
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class ContainerParameters(ct_create.Parameters):
    """`made_from` is the template's name, `entry` the catalog's; `node` is where the guest is to be; `kept` are options
    of it as it was: None, it had no such one."""

    made_from: str
    entry: str | None
    kept: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class VmParameters(vm_create.Parameters):
    """As ContainerParameters."""

    made_from: str
    entry: str | None
    kept: dict[str, str | None]


Parameters = ContainerParameters | VmParameters

# -- functions


def clear(run: Run, p: Parameters) -> Again | None:
    """Until nothing is left of the guest. It was stopped when this was asked for; one that runs by now stays."""
    is_there = not run.again and guest.look(run, p) is guest.Sight.OURS
    if is_there and guest.as_tenant(run, p).status().status == "running":
        raise Conflict("The guest runs.", code="guest.running", remedy="Stop it first.")
    upid = guest.make_gone(run, p)
    return Again(upid) if upid is not None else None


def create(run: Run, p: Parameters) -> Upid | None:
    """On the node that has the template, which may be another than before."""
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is not None:
            row.node = p.node
    if isinstance(p, VmParameters):
        return vm_create.create(run, p)

    def before() -> tuple[bool, Upid | None]:
        """Only what is at work, or stands: an ended task may be that of the guest's first making."""
        if (working := guest.under_way(run, p, "vzcreate")) is not None:
            return True, working
        return guest.settle_half_made(run, p), None

    return ct_create.make(run, p, before)


def configure(run: Run, p: Parameters) -> None:
    """With its cards and their addresses, its notes and tags, as it was."""
    if isinstance(p, VmParameters):
        vm_create.configure(run, p)
    else:
        ct_create.configure(run, p)
    kept = {**p.kept, "description": marked(unmarked(p.kept.get("description") or ""), owner_mark(p.guest))}
    given = {option: value for option, value in kept.items() if value is not None}
    guest.as_tenant(run, p).update(given, delete=kept.keys() - given.keys())


def grow(run: Run, p: Parameters) -> Upid | None:
    return vm_create.grow(run, p) if isinstance(p, VmParameters) else ct_create.grow(run, p)


def start(run: Run, p: Parameters) -> Upid | None:
    return guest.start(run, p) if p.start else None


def settle(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is not None:
            row.made_from = p.made_from
            row.catalog_id = p.entry if p.entry is not None and tx.get(Template, p.entry) is not None else None
    guest.settled_state(run, p)


def leave(run: Run, p: Parameters) -> dict[str, Any] | None:
    """What is still whole is as it was; of anything else nothing is left."""
    sight = guest.look(run, p)
    if sight is guest.Sight.BEING_MADE:
        raise PveLocked("PVE still works on this guest.")
    if sight is guest.Sight.OURS:
        guest.settle_back(run, p)
        return None
    guest.set_state(run, p, GuestState.FAILED)
    guest.release_running(run, p)
    return {"left": "failed"}


# -- definition

_BEGINS = (
    Step("claimed", undo=leave),
    Step("cleared", clear, calls=(may("DELETE {guest}"),)),
    Step(
        "created",
        create,
        undo=guest.make_gone,
        calls=(
            will("POST /nodes/{p.node}/{kind}", lambda p: p.template_vmid is None),
            will("POST /nodes/{p.template_node}/{kind}/{p.template_vmid}/clone", lambda p: p.template_vmid),
        ),
    ),
    Step("configured", configure, calls=(will("PUT {guest}/config"),)),
    Step("grown", grow, calls=(may("PUT {guest}/resize", lambda p: p.template_vmid or p.kind == GuestKind.VM),)),
)
_ENDS = (
    Step("verified", guest.check_made),
    Step("tagged", guest.tag, calls=(may("PUT {guest}/config", lambda p: p.vlan is not None),)),
    Step("started", start, calls=(will("POST {guest}/status/start", lambda p: p.start),)),
    Step("active", settle),
)

REBUILDS = {
    GuestKind.CT: Saga(
        "ct.rebuild", ContainerParameters, steps=(*_BEGINS, *_ENDS), result=guest.result, secrets=("password",),
        point_of_no_return="cleared",
    ),
    GuestKind.VM: Saga(
        "vm.rebuild", VmParameters, steps=(*_BEGINS, *_ENDS), result=guest.result,
        secrets=("password",), point_of_no_return="cleared",
    ),
}  # fmt: skip
