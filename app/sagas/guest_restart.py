"""A guest is shut down and started again, and watched until it is really there: it runs, and its port answers.

What has been stopped is started again, whatever goes wrong afterwards; where that is not to be had, the operation's
error says `left`: stopped.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.db import operations
from app.db.session import now
from app.domain.access import EVERY_TENANT
from app.domain.errors import PveAway, PveRefused, RestartFailed
from app.domain.guests import GuestKind
from app.domain.identifiers import Upid
from app.operations import Later, Run, Saga, Step, Trial
from app.policy import addresses
from app.sagas import guest
from app.sagas.calls import may

_STARTING = ("vzstart", "qmstart")
#: How often a start is tried before the restart has failed.
STARTS = 3
#: Seconds for one connection, and how many of a guest's addresses are tried at one look.
_PATIENCE, _ADDRESSES = 2.0, 4

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`watch` is a Watch; `networks` may be connected to though they are not public."""

    watch: dict[str, Any]
    networks: list[str]
    cooldown: int
    shutdown_timeout: int


# -- functions


def shut_down(run: Run, p: Parameters) -> Trial | None:
    """A guest that has gone down by itself, or was started anew since then, need not be asked."""
    if run.again and (lost := guest.under_way(run, p, *guest.STOPPING)) is not None:
        return Trial(lost)
    api = guest.as_tenant(run, p)
    status = api.status()
    if status.status != "running" or (run.again and status.uptime + 1 < (now() - run.began).total_seconds()):
        return None
    if run.failures:
        late = run.failures[-1]["code"] == "pve.shutdown_timeout"
        raise _ended("late" if late else "failed", run.failures[-1])
    guest.require_unprivileged(p, api.config())  # we would not start it again
    try:
        return Trial(api.shutdown(timeout=p.shutdown_timeout))
    except PveRefused as error:
        raise _ended("failed", {"code": error.code}, log=error.log) from error


def start(run: Run, p: Parameters) -> Trial | None:
    if len(run.failures) >= STARTS and guest.as_tenant(run, p).status().status != "running":
        raise _ended("down", run.failures[-1])
    upid = guest.start(run, p)
    return Trial(upid) if upid is not None else None


def bring_back(run: Run, p: Parameters) -> Upid | Mapping[str, Any] | None:
    """Whatever went wrong, the guest is started. One try more than it had: then the error says how it was left."""
    if guest.look(run, p) is not guest.Sight.OURS:
        return None
    try:
        if (working := guest.under_way(run, p, *guest.STOPPING, *_STARTING)) is not None:
            return working
        has_failed = any(Upid.parse(upid).task_type in _STARTING for upid in run.judged)
        if has_failed and guest.as_tenant(run, p).status().status != "running":
            return {"left": "stopped"}
        return guest.start(run, p)
    except PveRefused:
        return {"left": "stopped"}


def watch(run: Run, p: Parameters) -> Later | Mapping[str, Any]:
    """One look at a time; PVE away is a look in vain, as nobody can tell that the guest runs."""
    passed = (now() - run.began).total_seconds()
    attempts = run.outputs.get("answering", {}).get("attempts", 0)
    if passed < p.watch["startup_delay"]:
        return Later(p.watch["startup_delay"] - passed, {"attempts": attempts})
    attempts += 1
    missing = _missing(run, p)
    told = {"attempts": attempts, "elapsed_seconds": _elapsed(run)}
    if missing is None:
        return told
    left = p.watch["timeout"] - (now() - run.began).total_seconds()
    if left <= 0:
        raise RestartFailed(
            f"The guest was started, and was not there again in time: {missing}.", code="restart.watch_timeout",
            remedy="Look at the guest; give it more time with `timeout`.", **told,
        )  # fmt: skip
    return Later(min(p.watch["interval"], left), {"attempts": attempts})


def _missing(run: Run, p: Parameters) -> str | None:
    """What the guest lacks to be there again; None: nothing."""
    try:
        api = guest.as_tenant(run, p)
        status = api.status()
        if status.status != "running" or status.qmpstatus == "paused":
            return "it does not run"
        if p.watch["port"] is None:
            return None
        own = [*api.addresses(), *api.config().fixed_addresses]
    except PveAway:
        return "Proxmox VE is away"
    if p.watch["host"] is not None:
        own = [address for address in own if address == p.watch["host"]]
    if not own:
        return "it tells no such address of its own"
    open_to_us = addresses.of_guest(own, p.networks)
    if not open_to_us:
        return "its addresses may not be reached from here; an operator can allow their network"
    if any(_answers(address, p.watch["port"]) for address in open_to_us[:_ADDRESSES]):
        return None
    return f"its port {p.watch['port']} does not answer"


def _answers(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        return probe.connect_ex((address, port)) == 0


def _elapsed(run: Run) -> float:
    with run.db.read() as tx:
        begun = operations.get(tx, EVERY_TENANT, run.operation).started_at or run.began
    return round((now() - begun).total_seconds(), 1)


#: Code, detail and remedy.
_ENDS = {
    "failed": ("restart.shutdown_failed", "The guest could not be shut down; it was left as it was.",
               "Look at the guest's state and at PVE's task."),
    "late": ("restart.shutdown_timeout", "The guest did not shut down in time; it was left running.",
             "Give it more time with `shutdown_timeout`, or stop it with `force` and start it."),
    "down": ("restart.start_failed", f"The guest was shut down, and could not be started in {STARTS} tries.",
             "Look at PVE's task, and start the guest."),
}  # fmt: skip


def _ended(how: str, problem: Mapping[str, Any], *, log: str | None = None) -> RestartFailed:
    """`cause` is the code of what PVE said, `upid` its task."""
    members = {"upid": problem["upid"]} if "upid" in problem else {}
    code, detail, remedy = _ENDS[how]
    return RestartFailed(detail, code=code, remedy=remedy, log=log, cause=problem["code"], **members)


def result(run: Run, p: Parameters) -> dict[str, Any]:
    return {**guest.result(run, p), **run.outputs["answering"]}


# -- definition


def restart_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.restart",
        Parameters,
        steps=(
            Step("claimed", undo=guest.settle_back),
            Step("shut down", shut_down, undo=bring_back, calls=(may("POST {guest}/status/shutdown"),)),
            Step("started", start, calls=(may("POST {guest}/status/start"),)),
            Step("answering", watch),
            Step("settled", guest.settled_state),
        ),
        result=result,
        point_of_no_return="shut down",
    )


RESTARTS = {kind: restart_of(kind) for kind in GuestKind}
TYPES = tuple(saga.type for saga in RESTARTS.values())
