"""libvirt's words for trouble, read once: refused, away and gone are different things.

By libvirt's own error code first; where one code has many meanings, by its English wording (libvirt 9.0).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.domain.errors import (
    AppError,
    CapacityExceeded,
    Conflict,
    QemuAbsent,
    QemuAway,
    QemuConflict,
    QemuRefused,
)

LONGEST_TEXT = 2000

# Of libvirt's enum virErrorNumber, which is part of its interface.
NO_DOMAIN, NO_NETWORK, NO_SNAPSHOT, NO_FILTER, NO_METADATA = 42, 43, 72, 62, 80
_ABSENT = frozenset({NO_DOMAIN, NO_NETWORK, NO_SNAPSHOT, NO_FILTER})
_NO_CONNECTION, _RPC, _AUTH_UNAVAILABLE = 5, 39, 94
_TIMEOUT, _BUSY = 68, 87
_AGENT = frozenset({86, 97})  # unresponsive, unsynced


@dataclass(frozen=True)
class Reading:
    """What a text of libvirt's means; the first one that matches wins."""

    pattern: re.Pattern[str]
    error: type[AppError]
    detail: str
    code: str | None = None
    remedy: str | None = None


def _reading(
    pattern: str, error: type[AppError], detail: str, code: str | None = None, remedy: str | None = None
) -> Reading:
    return Reading(re.compile(pattern, re.DOTALL), error, detail, code, remedy)


READINGS: tuple[Reading, ...] = (
    _reading(r"Failed to connect socket|Cannot recv data|Cannot write data|End of file while reading|client socket is"
             r" closed|received hangup|Broken pipe|keepalive timeout|connection closed",
             QemuAway, "libvirt does not answer."),
    _reading(r"cannot acquire state change lock|another (backup|block|migration) job|already has another job"
             r"|block job already|already in the process of",
             QemuAway, "The machine is busy with other work.", "qemu.busy"),
    # libvirt 9.0, killed between the beginning of its own job and of QEMU's, finds a job after its start that never
    # ends. But for backups and snapshots the machine is well; stopped, it does not start before libvirt is started
    # anew, as the job outlives it.
    _reading(r"backup job data missing", QemuConflict,
             "libvirt was killed when a backup of this machine began, and can begin no other.", "qemu.backup_lost",
             "Stop the machine, restart libvirt (other machines run on), and start it again."),
    _reading(r"[Gg]uest agent", QemuRefused, "The guest's agent does not answer.", "qemu.agent_absent",
             "Install and start qemu-guest-agent in the guest."),
    _reading(r"No space left|Disk quota exceeded|[Cc]annot allocate memory|cannot set up guest memory",
             CapacityExceeded, "This host has not enough room left.",
             remedy="Free some room, or ask for less."),
    _reading(r"domain is not running|is not running", QemuConflict, "The machine does not run.", "qemu.stopped"),
    _reading(r"domain is already running|is already active|domain is running", QemuConflict, "The machine runs.",
             "qemu.running"),
    _reading(r"internal snapshot for disk|internal snapshots? .*not supported|snapshots? .* unsupported"
             r"|pflash based firmware|does not support (internal )?snapshots?",
             QemuConflict, "This machine cannot keep snapshots.", "qemu.snapshot_unsupported",
             "Detach raw disks; with UEFI take a backup instead."),
    _reading(r"No more available PCI|no more PCI|No free (PCI|USB|CCW)|target .* already exists|unit \d+ on controller",
             Conflict, "The machine has no room for another device.", "guest.devices"),
    _reading(r"already in use by (interface|network)|Network is already in use", QemuConflict,
             "The host uses these addresses already.", "qemu.subnet_taken", "Choose another subnet."),
    _reading(r"Hook script execution failed", QemuRefused, "What guards the network did not work.",
             "qemu.network_unguarded", "Run `make qemu` as root; libvirt's log has the reason."),
    _reading(r"Unable to find any firmware|Failed to open file '.*OVMF|swtpm|TPM version|TPM emulator",
             QemuRefused, "A part that this machine needs is not installed on the host.", "qemu.incomplete",
             "Ask `poolhouse qemu doctor`."),
)  # fmt: skip


def from_libvirt(code: int, message: str) -> AppError:
    """What an error of libvirt's means."""
    upstream = message[:LONGEST_TEXT]
    if code in _ABSENT:
        return QemuAbsent("libvirt has no such object.", log=upstream)
    if code in _AGENT:
        return QemuRefused("The guest's agent does not answer.", code="qemu.agent_absent", log=upstream)
    for reading in READINGS:
        if reading.pattern.search(message):
            return reading.error(reading.detail, code=reading.code, remedy=reading.remedy, log=upstream)
    if code in (_NO_CONNECTION, _RPC, _AUTH_UNAVAILABLE):
        return away(upstream)
    if code in (_TIMEOUT, _BUSY):
        return QemuAway("The machine is busy with other work.", code="qemu.busy", log=upstream)
    return QemuRefused("The local hypervisor refused this.", log=upstream)


def away(upstream: str) -> QemuAway:
    return QemuAway("libvirt does not answer.", remedy="Ask `poolhouse qemu doctor`.", log=upstream)
