"""The one family of errors. `code` is stable and dotted; HTTP status is chosen at the edge (`app.api.errors`).

AppError
├── Invalid               a value is wrong                        validation.failed, ...
├── Unauthenticated       the caller's own log-in                 auth.required, auth.expired, auth.failed
├── Forbidden             seen, but not allowed                   policy.forbidden, tenant.suspended, ...
│   └── QuotaExceeded     with dimension, limit, used, requested  quota.exceeded
├── NotFound              not there, or not the caller's          not_found
├── Conflict              taken, busy, or in the wrong state      guest.busy, name.taken, ...
│   └── Busy              one open operation per guest            guest.busy
├── TooSoon               may be asked for again later            restart.cooldown, restart.limit
├── RestartFailed         a guest was not there again in time     restart.start_failed, ...
├── FetchFailed           nothing of use is behind a URL          url.failed
├── CapacityExceeded      no node or storage has the room         capacity.exceeded
├── Unavailable           a part of ours is away                  database.unavailable, ...
│   └── QemuAway          libvirtd, or busy with that machine     qemu.unreachable, qemu.busy
├── QemuRefused           the local hypervisor said no            qemu.refused
│   ├── QemuAbsent        it has no such thing                    qemu.absent
│   ├── QemuConflict      not in this state, not of this shape    qemu.running, qemu.stopped, ...
│   └── QemuForeign       it has one that is not ours             qemu.foreign
└── PveError              PVE's trouble, never the caller's
    ├── PveRefused        PVE said no, or answered nonsense       pve.refused
    │   ├── PveAbsent     PVE says that it does not exist         pve.absent
    │   ├── PveChanged    the config is not the expected one      pve.config_changed
    │   └── PveDenied     PVE took our credential for too little  pve.auth_failed
    ├── PveTaskFailed     the task ended badly                    pve.task_failed
    └── PveAway           try again later
        ├── PveUnreachable  no connection, 595/596, no quorum     pve.unreachable
        ├── PveTimeout      no answer in time; may have happened  pve.timeout
        └── PveLocked       a lock of PVE's was not to be had     pve.locked
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AppError(Exception):
    """`detail` may be shown to the client; `log` is for our log only and never leaves the house."""

    code = "error"
    title = "Error"

    def __init__(
        self, detail: str, *, code: str | None = None, remedy: str | None = None, log: str | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.remedy = remedy
        self.log = log
        self.members: Mapping[str, Any] = members


class Invalid(AppError):
    """`errors` names each wrong field: {"disk_gb": ["must be at least 1"]}."""

    code = "validation.failed"
    title = "Validation failed"

    def __init__(self, errors: Mapping[str, Any], detail: str | None = None, **more: Any) -> None:
        super().__init__(detail or first_sentence(errors), errors=errors, **more)


class Unauthenticated(AppError):
    code = "auth.required"
    title = "Log-in required"


class Forbidden(AppError):
    code = "policy.forbidden"
    title = "Not allowed"


class QuotaExceeded(Forbidden):
    code = "quota.exceeded"
    title = "Quota exceeded"

    def __init__(self, dimension: str, *, limit: int, used: int, requested: int, whose: str = "tenant") -> None:
        super().__init__(
            f"Not enough {dimension}: limit {limit}, used {used}, asked for {requested}.",
            remedy="Delete or shrink something, or ask an administrator for a higher limit.",
            dimension=dimension, limit=limit, used=used, requested=requested, whose=whose,
        )  # fmt: skip


class NotFound(AppError):
    code = "not_found"
    title = "Not found"

    def __init__(self, detail: str = "There is nothing here that you may see.", **more: Any) -> None:
        super().__init__(detail, **more)


class Conflict(AppError):
    code = "conflict"
    title = "Conflict"


class Busy(Conflict):
    code = "guest.busy"
    title = "Guest is busy"

    def __init__(self, operation: str) -> None:
        super().__init__(
            "An operation on this guest is still open.",
            remedy="Wait until the open operation has ended.", operation=operation,
        )  # fmt: skip


class TooSoon(AppError):
    """`retry_after` is in how many seconds it may be asked for again."""

    code = "restart.cooldown"
    title = "Too soon"

    def __init__(self, detail: str, *, retry_after: int, **more: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **more)


class RestartFailed(AppError):
    code = "restart.start_failed"
    title = "Restart failed"


class FetchFailed(AppError):
    code = "url.failed"
    title = "The file could not be fetched"


class CapacityExceeded(AppError):
    code = "capacity.exceeded"
    title = "No capacity"


class Unavailable(AppError):
    code = "unavailable"
    title = "Unavailable"


class QemuAway(Unavailable):
    code = "qemu.unreachable"
    title = "The local hypervisor is away"


class QemuRefused(AppError):
    """`log` is the hypervisor's own wording."""

    code = "qemu.refused"
    title = "The local hypervisor refused"


class QemuAbsent(QemuRefused):
    code = "qemu.absent"
    title = "The local hypervisor has no such object"


class QemuConflict(QemuRefused):
    code = "qemu.conflict"
    title = "The machine does not allow this now"


class QemuForeign(QemuRefused):
    code = "qemu.foreign"
    title = "Not made by Poolhouse"


class PveError(AppError):
    """`upstream` is PVE's own wording; it goes to the log and, cut, into an operation's error."""

    code = "pve.error"
    title = "Proxmox VE error"

    def __init__(self, detail: str, *, upstream: str | None = None, **more: Any) -> None:
        super().__init__(detail, log=upstream, **more)
        self.upstream = upstream or ""


class PveRefused(PveError):
    code = "pve.refused"
    title = "Proxmox VE refused"


class PveAbsent(PveRefused):
    code = "pve.absent"
    title = "Proxmox VE has no such object"


class PveChanged(PveRefused):
    code = "pve.config_changed"
    title = "Changed meanwhile"

    def __init__(self, detail: str = "The configuration was changed by someone else meanwhile.", **more: Any) -> None:
        super().__init__(detail, **{**more, "remedy": "Read it again and repeat the change."})


class PveDenied(PveRefused):
    code = "pve.auth_failed"
    title = "Proxmox VE did not accept our credential"


class PveTaskFailed(PveError):
    """`upid` is the task, `upstream` its exit status."""

    code = "pve.task_failed"
    title = "A Proxmox VE task failed"


class PveAway(PveError):
    code = "pve.unreachable"
    title = "Proxmox VE is away"


class PveUnreachable(PveAway):
    code = "pve.unreachable"
    title = "Proxmox VE is unreachable"


class PveTimeout(PveAway):
    code = "pve.timeout"
    title = "Proxmox VE did not answer in time"


class PveLocked(PveAway):
    code = "pve.locked"
    title = "Proxmox VE is busy with this object"


def first_sentence(errors: Mapping[str, Any]) -> str:
    """One sentence for people out of a field map: `disk_gb: must be at least 1`."""
    for field, messages in errors.items():
        while isinstance(messages, Mapping) and messages:
            inner, messages = next(iter(messages.items()))
            field = f"{field}.{inner}"
        text = messages[0] if isinstance(messages, list) and messages else messages
        return f"{field}: {text}"
    return "The request is not valid."
