"""The front end's words for ours, and back: one place, so that a word means the same on all its routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from app.api.conventions import Face
from app.domain.errors import Invalid
from app.domain.guests import GuestKind, GuestState, Standing
from app.domain.operations import Operation, OperationState
from app.domain.quota import Dimension

#: Natively null.
NO_LIMIT = 999_999_999
QUOTA = {"vms": Dimension.GUESTS, "cpu": Dimension.CORES, "memory": Dimension.MEMORY, "storage": Dimension.DISK_GB}
KINDS = {GuestKind.CT.value: "lxc", GuestKind.VM.value: "qemu"}

_PROVISIONING, _UNKNOWN = "provisioning", "unknown"
#: While one of these is open on a guest, the front end waits for what comes of it.
_MOVING = frozenset(
    {
        "create", "clone", "restore_as_new", "start", "stop", "reboot", "restart", "resume", "rollback", "restore",
        "rebuild", "migrate",
    }
)  # fmt: skip
_STATES = {
    GuestState.CREATING: _PROVISIONING,
    GuestState.RUNNING: "running",
    GuestState.STOPPED: "stopped",
    GuestState.PAUSED: "paused",
    GuestState.SUSPENDED: "paused",
}


def quota(amounts: Mapping[Any, int | None]) -> dict[str, int]:
    """Amounts by dimension as four whole numbers; one that is not there is 0."""
    shown = {word: amounts.get(dimension, 0) for word, dimension in QUOTA.items()}
    return {word: NO_LIMIT if amount is None else amount for word, amount in shown.items()}


def is_shown(guest: Standing) -> bool:
    """A guest whose deletion was accepted is gone, unless it is stuck."""
    return guest.stuck or guest.state != GuestState.DELETING


def status(guest: Standing) -> str:
    if guest.stuck:
        return _UNKNOWN
    if guest.doing is not None and guest.doing.partition(".")[2] in _MOVING:
        return _PROVISIONING
    return _STATES.get(GuestState(guest.state), _UNKNOWN)


def told(accepted: str, done: str, *, moves: bool = False) -> Face:
    """An operation as the front end is told of it; with `moves` it also shows the guest's status."""

    def face(operation: Operation, *_: Any, **__: Any) -> Mapping[str, Any]:
        ended = operation.state == OperationState.SUCCEEDED
        shown = {
            "success": True,
            "message": done if ended else accepted,
            "operation": {"id": operation.id, "state": operation.state},
        }
        return {**shown, "status": _status_after(operation)} if moves else shown

    return face


def _status_after(operation: Operation) -> str:
    guest = (operation.result or {}).get("guest")
    return _STATES.get(GuestState(guest["state"]), _UNKNOWN) if guest is not None else _PROVISIONING


@contextmanager
def in_words(**words: str) -> Iterator[None]:
    """A wrong value is refused under the name that the caller gave it: our name -> his."""
    try:
        yield
    except Invalid as error:
        given = {words.get(field, field): said for field, said in error.members["errors"].items()}
        raise Invalid(given, code=error.code, remedy=error.remedy) from error
