"""A guest goes: stopped where that was allowed, destroyed, its quota given back, its vmid laid to rest."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import Conflict, PveAbsent
from app.domain.guests import GuestKind
from app.domain.identifiers import Upid
from app.operations import Again, Run, Saga, Step
from app.sagas import guest, guest_backup
from app.sagas.calls import may

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`force` allows a running guest to be stopped first; `purge`: its backups go with it."""

    force: bool = False
    purge: bool = False


# -- functions


def stop(run: Run, p: Parameters) -> Upid | None:
    if guest.look(run, p) is not guest.Sight.OURS:
        return None
    if run.again and (lost := guest.under_way(run, p, *guest.STOPPING)) is not None:
        return lost
    try:
        api = guest.as_tenant(run, p)
        if api.status().status != "running":
            return None
    except PveAbsent:
        return None
    if not p.force:
        raise Conflict("The guest runs.", code="guest.running", remedy="Stop it first, or use force=true.")
    return api.stop()


def purge(run: Run, p: Parameters) -> Again | None:
    """While the tenant still has the guest: without it PVE lets the administrator alone have its archives."""
    return guest_backup.purge(run, p) if p.purge else None


def keep_what_is_left(run: Run, p: Parameters) -> Upid | None:
    return guest_backup.keep_what_is_left(run, p) if p.purge else None


def destroy(run: Run, p: Parameters) -> Again | None:
    upid = guest.make_gone(run, p)
    return Again(upid) if upid is not None else None


# -- definition


def delete_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.delete",
        Parameters,
        steps=(
            Step("marked", undo=guest.settle_back),
            Step("stopped", stop, calls=(may("POST {guest}/status/stop", lambda p: p.force),)),
            Step(
                "purged",
                purge,
                undo=keep_what_is_left,
                calls=(may("DELETE /nodes/{p.node}/storage/{{storage}}/content/{{backup}}", lambda p: p.purge),),
            ),
            Step("destroyed", destroy, calls=(may("DELETE {guest}"),)),
            Step("released", guest.release),
        ),
        point_of_no_return="purged",
    )


DELETES = {kind: delete_of(kind) for kind in GuestKind}
