"""PVE's words for trouble, read once: the same table serves HTTP answers and the exit statuses of tasks.

A class is given where a caller branches on it, a code of its own where only the wording differs:
`pve.exists`, `pve.already_running`, `pve.shutdown_timeout`, `pve.not_running`, `pve.running`, `pve.protected`,
`pve.not_empty`, `pve.agent_absent`, `pve.task_stopped`, `pve.task_lost`. Every error has the member `try_again`.
The texts are those of PVE 9.1 (pve-access-control 9.0, qemu-server 9.1, pve-container 6.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.domain.errors import (
    AppError,
    CapacityExceeded,
    PveAbsent,
    PveAway,
    PveChanged,
    PveDenied,
    PveError,
    PveLocked,
    PveRefused,
    PveTaskFailed,
    PveTimeout,
    PveUnreachable,
)
from app.domain.identifiers import Upid

LONGEST_TEXT = 2000

#: The reason phrase of a 500 that PVE did not word: its refusals always say why.
_WORDLESS = ("", "internal server error")

_NOT_ALLOWED = "Proxmox VE did not allow this to our identity."
_RIGHTS = "Look at the rights of the tenant in Proxmox VE, or of the cluster's API token."
_ITS_STATE = "Look at the guest's state."
_OUR_LOG = "Ask an administrator: our log has what Proxmox VE said."

Error = TypeVar("Error", bound=AppError)


@dataclass(frozen=True)
class Reading:
    """What a text of PVE's means; `error` None leaves the class to the place it was met at (call or task)."""

    pattern: re.Pattern[str]
    error: type[AppError] | None
    detail: str
    code: str | None = None
    remedy: str | None = None


def _reading(
    pattern: str, error: type[AppError] | None, detail: str, code: str | None = None, remedy: str | None = None
) -> Reading:
    return Reading(re.compile(pattern, re.DOTALL), error, detail, code, remedy)


#: The first one that matches wins.
READINGS: tuple[Reading, ...] = (
    _reading(
        r"can't lock file .*got timeout|got lock request timeout"
        r"|can't ac?quire (cfs )?lock|trying to ac?quire cfs lock",
        PveLocked, "Proxmox VE could not get one of its locks in time.", remedy="Try again in a moment.",
    ),
    # PVE's own time-out, of a lock or of a command. With the words of a guest's work around it (a shutdown that took
    # too long) it is that work's failure.
    _reading(
        r"(^|^unable to (create|restore) (VM|CT) \d+ - |^command '.*' failed: )got timeout$",
        PveTimeout, "Proxmox VE did not get it done in time.", remedy="Look whether it has happened before repeating.",
    ),
    # Without quorum /etc/pve is read-only; a config change then looks like a problem of rights.
    _reading(
        r"no quorum|cluster not ready|'/etc/pve/[^']*'.*(Permission denied|Transport endpoint is not connected)"
        r"|ipcc_send_rec.* failed|Read-only file system.*/etc/pve",
        PveUnreachable, "The cluster has no quorum; nothing can be changed in it.",
        remedy="Bring the cluster's nodes back; the work goes on by itself.",
    ),
    _reading(r"Permission check failed|[Oo]nly root can|Only root may|only allowed for root@pam",
             PveRefused, _NOT_ALLOWED, remedy=_RIGHTS),
    _reading(r"\b(VM|CT|container) is locked|^is locked \(",
             PveLocked, "The guest is locked by other work in Proxmox VE.",
             remedy="Wait until that work (a backup, a migration) has ended."),
    _reading(r"No QEMU guest agent configured|QEMU guest agent is not running",
             PveRefused, "The guest's agent does not answer.", "pve.agent_absent",
             "Install it in the guest, start it, and switch it on in the guest's options."),
    _reading(
        r"(?i:no space left|insufficient free space|not enough (free )?(space|memory)|out of (disk )?space"
        r"|disk quota exceeded|free space in thin pool|thin pool .* is full|cannot allocate memory|out of memory)",
        CapacityExceeded, "The node or storage has not enough room left.",
        remedy="Free some room, ask for less, or choose another storage.",
    ),
    _reading(r"checksum mismatch \(file change|detected modified configuration",
             PveChanged, "The configuration was changed by someone else meanwhile."),
    _reading(r"already exists|already defined|already used|[Aa]lready a pool member|failed: File exists",
             None, "Something of this name or number is there already.", "pve.exists",
             "Look at what is there, or choose another name."),
    _reading(r"is not empty \(", PveRefused, "It still contains something.", "pve.not_empty", "Empty it first."),
    _reading(r"already running", None, "The guest is running already.", "pve.already_running", _ITS_STATE),
    _reading(r"VM quit/powerdown failed - got timeout|^container did not stop",
             None, "The guest did not shut down in time.", "pve.shutdown_timeout",
             "Give it more time, or cut its power: stop it with `force`."),
    _reading(r"\bnot running", None, "The guest is not running.", "pve.not_running", _ITS_STATE),
    _reading(r"is running - destroy failed|(container|[Vv][Mm]|CT) is running|of a running container",
             None, "The guest is running.", "pve.running", "Stop it first."),
    _reading(r"protection mode enabled", None, "The guest is protected against removal.", "pve.protected",
             "Ask who protected it, and take the protection off in Proxmox VE."),
    _reading(r"volume \S+ does not exist|no such logical volume",
             PveAbsent, "A template, image or disk that is needed is not there.",
             remedy="Check that the template or image is still on its storage."),
    _reading(r"does not exist|\bno such |unable to find configuration file|hostname lookup .* failed"
             r"|is not a pool member",
             PveAbsent, "Proxmox VE has no such object.",
             remedy="Look whether somebody removed or moved it in Proxmox VE."),
    _reading(r"snapshot feature is not available", None, "The guest's storage cannot keep snapshots.",
             "pve.snapshot_unsupported", "Use a guest on another storage."),
    _reading(r"storage '[^']*' is not online", PveUnreachable, "A storage is not reachable for Proxmox VE.",
             remedy="Bring the storage back; the work goes on by itself."),
    _reading(r"interrupted by signal|received interrupt|^unexpected status",
             None, "The task was stopped before its end.", "pve.task_stopped", "Look at the guest, and try again."),
)  # fmt: skip

#: What is believed of a line of a log: texts that mean one thing wherever they stand.
_TELLING = tuple(reading for reading in READINGS if reading.error in (PveLocked, CapacityExceeded))


def try_again(error: BaseException) -> bool:
    """Whether the same call may do later, with nothing changed by us."""
    return isinstance(error, PveAway)


def nonsense(upstream: str) -> PveRefused:
    """PVE, or something in its place, answered what its API never says."""
    return _made(
        PveRefused, "Proxmox VE gave an answer that makes no sense.", upstream,
        remedy="Check that the cluster's address leads to Proxmox VE itself.",
    )  # fmt: skip


def unreachable(detail: str, upstream: str = "", *, remedy: str | None = None) -> PveUnreachable:
    return _made(PveUnreachable, detail, upstream, remedy=remedy)


def resting(seconds: float) -> PveUnreachable:
    """The cluster failed too often of late; it is left alone for `retry_after` more seconds."""
    return PveUnreachable(
        "The cluster did not answer lately and is left alone for a moment.",
        try_again=True, retry_after=max(1, round(seconds)),
    )  # fmt: skip


def timed_out(upstream: str) -> PveTimeout:
    return _made(
        PveTimeout,
        "Proxmox VE did not answer in time.",
        upstream,
        remedy="Look whether it has happened before repeating.",
    )


def from_answer(method: str, status: int, reason: str, body: Mapping[str, object] | None) -> AppError:
    """What an HTTP answer that is no success means; `body` is its JSON object, if it had one.

    595 and 596 (no body) come from a proxying node that cannot reach another one; what came back after the request
    was sent (597 and up, 504, a 500 without a word) leaves open whether a write has happened.
    """
    upstream = _upstream(reason, body)
    if status == 401:
        return _made(
            PveDenied, "Proxmox VE did not accept our credential.", upstream,
            remedy="Check the cluster's API token: deleted, expired, or its user disabled.",
        )  # fmt: skip
    if status in (502, 503, 595, 596) or (status in (504, 597, 598, 599) and method == "GET"):
        return unreachable(
            "The cluster or one of its nodes cannot be reached.", f"{status} {upstream}",
            remedy="Look whether its nodes are up and reach each other.",
        )  # fmt: skip
    if status in (504, 597, 598, 599):
        return timed_out(f"{status} {upstream}")
    if status == 403:
        return _made(PveRefused, _NOT_ALLOWED, upstream, remedy=_RIGHTS)
    if status not in (400, 500):
        return nonsense(f"{status} {upstream}")
    if status == 500 and upstream.lower() in _WORDLESS:
        return unreachable(
            "Proxmox VE broke down over this call.", f"{status} {upstream}",
            remedy="Look whether it has happened before repeating.",
        )  # fmt: skip
    reading = _read(upstream)
    if reading is None:
        return _made(PveRefused, "Proxmox VE refused this.", upstream, remedy=_OUR_LOG)
    return _made(reading.error or PveRefused, reading.detail, upstream, code=reading.code, remedy=reading.remedy)


def task_failure(upid: Upid, exitstatus: str, log: Sequence[str] = ()) -> AppError:
    """What the end of a task that is no success means; the error has the member `upid`.

    Where the exit status says nothing that is known, a lock or a lack of room is looked for in the task's log.
    An empty exit status: PVE lost the task.
    """
    if not exitstatus:
        return _made(
            PveTaskFailed, "Proxmox VE lost this task; nobody knows how it ended.", "",
            code="pve.task_lost", remedy="Look at the guest itself.", upid=str(upid),
        )  # fmt: skip
    reading = _read(exitstatus) or next((found for line in log if (found := _read(line)) in _TELLING), None)
    if reading is None:
        return _made(
            PveTaskFailed, "A task in Proxmox VE failed.", exitstatus, remedy="Look at the task's log.", upid=str(upid)
        )
    kind = reading.error or PveTaskFailed
    return _made(kind, reading.detail, exitstatus, code=reading.code, remedy=reading.remedy, upid=str(upid))


def _read(text: str) -> Reading | None:
    return next((reading for reading in READINGS if reading.pattern.search(text)), None)


def _upstream(reason: str, body: Mapping[str, object] | None) -> str:
    """The body's message where it says more than the reason phrase (its first line), with the wrong parameters."""
    message = body.get("message") if body else None
    text = message.strip() if isinstance(message, str) and message.strip() else reason.strip()
    errors = body.get("errors") if body else None
    if isinstance(errors, Mapping):
        text = "; ".join([text, *(f"{name}: {str(why).strip()}" for name, why in errors.items())])
    return text[:LONGEST_TEXT]


def _made(
    kind: type[Error], detail: str, upstream: str, *, code: str | None = None, remedy: str | None = None, **members: str
) -> Error:
    again = issubclass(kind, PveAway)
    if issubclass(kind, PveError):
        return kind(detail, upstream=upstream, code=code, remedy=remedy, try_again=again, **members)
    return kind(detail, log=upstream, code=code, remedy=remedy, try_again=again, **members)
