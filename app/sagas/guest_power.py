"""Start, stop and reboot, for both kinds. Asking for the state that a guest has already is success, without a task."""

from __future__ import annotations

from dataclasses import dataclass

from app.db.session import now
from app.domain.errors import Conflict
from app.domain.guests import GuestKind
from app.domain.identifiers import Upid
from app.operations import Function, Run, Saga, Step
from app.pve import GuestStatus
from app.sagas import guest
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`force` cuts the power; `timeout` is how many seconds a guest has to shut down by itself; `surely`: one that has
    not is stopped then."""

    force: bool = False
    timeout: int = 60
    surely: bool = False


# -- functions


def stop(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, *guest.STOPPING)) is not None:
        return lost
    api = guest.as_tenant(run, p)
    if api.status().status != "running":
        return None
    return api.stop() if p.force else api.shutdown(timeout=p.timeout, force=p.surely)


def reboot(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, "vzreboot", "qmreboot")) is not None:
        return lost
    api = guest.as_tenant(run, p)
    status = api.status()
    if run.again and status.status == "running" and status.uptime < (now() - run.began).total_seconds():
        return None
    _require_running(status)
    guest.require_unprivileged(p, api.config())
    return api.reboot(timeout=p.timeout)


def suspend(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, "qmpause")) is not None:
        return lost
    api = guest.as_tenant(run, p)
    status = api.status()
    _require_running(status)
    return None if status.qmpstatus == "paused" else api.suspend()


def resume(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, "qmresume")) is not None:
        return lost
    api = guest.as_tenant(run, p)
    status = api.status()
    _require_running(status)
    return api.resume() if status.qmpstatus == "paused" else None


def reset(run: Run, p: Parameters) -> Upid | None:
    """Once more does no harm: whoever pressed the button has lost what was in memory already."""
    if run.again and (lost := guest.under_way(run, p, "qmreset")) is not None:
        return lost
    api = guest.as_tenant(run, p)
    _require_running(api.status())
    return api.reset()


def _require_running(status: GuestStatus) -> None:
    if status.status != "running":
        raise Conflict("The guest does not run.", code="guest.not_running", remedy="Start it.")


# -- definition


def start_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.start",
        Parameters,
        steps=(
            Step("claimed", undo=guest.settle_back),
            Step("started", guest.start, calls=(may("POST {guest}/status/start"),)),
            Step("settled", guest.settled_state),
        ),
        result=guest.result,
    )


def stop_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.stop",
        Parameters,
        steps=(
            Step(
                "stopped",
                stop,
                undo=guest.settle_back,
                calls=(
                    may("POST {guest}/status/stop", lambda p: p.force),
                    may("POST {guest}/status/shutdown", lambda p: not p.force),
                ),
            ),
            Step("settled", guest.settled_state),
        ),
        result=guest.result,
    )


def reboot_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.reboot",
        Parameters,
        steps=(
            Step("rebooted", reboot, undo=guest.settle_back, calls=(will("POST {guest}/status/reboot"),)),
            Step("settled", guest.settled_state),
        ),
        result=guest.result,
    )


def _vm_only(action: str, step: str, do: Function) -> Saga:
    """PVE freezes and resets VMs; for containers it needs a program that it does not bring."""
    return Saga(
        f"vm.{action}",
        Parameters,
        steps=(
            Step(step, do, undo=guest.settle_back, calls=(may(f"POST {{guest}}/status/{action}"),)),
            Step("settled", guest.settled_state),
        ),
        result=guest.result,
    )


STARTS = {kind: start_of(kind) for kind in GuestKind}
STOPS = {kind: stop_of(kind) for kind in GuestKind}
REBOOTS = {kind: reboot_of(kind) for kind in GuestKind}
VM_ONLY = {
    "suspend": _vm_only("suspend", "suspended", suspend),
    "resume": _vm_only("resume", "resumed", resume),
    "reset": _vm_only("reset", "reset", reset),
}
