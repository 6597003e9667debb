"""Start, stop and reboot, for both kinds. Asking for the state that a guest has already is success, without a task."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import Conflict
from app.domain.guests import GuestKind
from app.domain.identifiers import Upid
from app.operations import Run, Saga, Step
from app.sagas import guest

# -- parameters


@dataclass(frozen=True)
class Parameters:
    """`force` cuts the power; `timeout` is how many seconds a guest has to shut down by itself."""

    guest: str
    kind: str
    tenant: str
    cluster: str
    poolid: str
    node: str
    vmid: int
    force: bool = False
    timeout: int = 60
    vmid_rest: int = 0


# -- functions


def stop(run: Run, p: Parameters) -> Upid | None:
    api = guest.as_tenant(run, p)
    if api.status().status != "running":
        return None
    return api.stop() if p.force else api.shutdown(timeout=p.timeout)


def reboot(run: Run, p: Parameters) -> Upid:
    api = guest.as_tenant(run, p)
    if api.status().status != "running":
        raise Conflict("The guest does not run.", code="guest.not_running", remedy="Start it.")
    return api.reboot(timeout=p.timeout)


# -- definition


def start_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.start",
        Parameters,
        steps=(
            Step("claimed", undo=guest.release_running),
            Step("started", guest.start, undo=_settle),
            Step("settled", guest.settled_state),
        ),
        result=guest.result,
    )


def stop_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.stop",
        Parameters,
        steps=(Step("stopped", stop, undo=_settle), Step("settled", guest.settled_state)),
        result=guest.result,
    )


def reboot_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.reboot",
        Parameters,
        steps=(Step("rebooted", reboot, undo=_settle), Step("settled", guest.settled_state)),
        result=guest.result,
    )


def _settle(run: Run, p: Parameters) -> None:
    """There is nothing to take back: what the guest is now is read and written down."""
    guest.settled_state(run, p)


STARTS = {kind: start_of(kind) for kind in GuestKind}
STOPS = {kind: stop_of(kind) for kind in GuestKind}
REBOOTS = {kind: reboot_of(kind) for kind in GuestKind}
