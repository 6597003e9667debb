"""What local QEMU lacks on this host, found by trying."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import AppError
from app.qemu import accelerator, opening
from app.qemu.driver import Accelerator
from app.qemu.guards import Guards

_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "dnsmasq": "dnsmasq-base", "nft": "nftables",
    "iptables": "iptables", "swtpm": "swtpm", "prlimit": "util-linux",
}  # fmt: skip
#: Not always on the path of who asks.
_FOLDERS = ("/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Finding:
    """`missing` is what cannot be used and `remedy` the command that mends it. Without what is not `needed` some
    machines cannot be made, and the others can."""

    missing: str
    remedy: str
    needed: bool = True


@dataclass(frozen=True)
class Health:
    """`accelerator` is None where QEMU itself does not start."""

    accelerator: Accelerator | None
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        return self.accelerator is not None and not any(finding.needed for finding in self.findings)


def examine(uri: str = opening.SYSTEM_URI, *, guarded: Guards | None = None) -> Health:
    """Takes some seconds at most: a machine is booted, libvirt is asked what it can do."""
    packages = [package for program, package in _PROGRAMS.items() if not _there(program)]
    if packages:
        named = " ".join(sorted(packages))
        return Health(None, (Finding(f"Not installed: {named}.", f"make qemu (or apt-get install {named})"),))
    try:
        found = accelerator.probe()
    except AppError as error:
        return Health(None, (Finding(error.detail, error.remedy or "make qemu"),))
    return Health(found, tuple(_of_libvirt(uri, found, guarded or Guards())))


def _of_libvirt(uri: str, found: Accelerator, guarded: Guards) -> Iterator[Finding]:
    try:
        driver = opening.open_driver(uri, accelerator=found, guarded=guarded)
        host = driver.host()
        driver.close()
    except AppError as error:
        yield Finding(" ".join(filter(None, [error.detail, error.log])), _command(error))
        return
    if "networks" not in host.features:
        yield Finding("The hook that keeps guests from the host is not installed.", "make qemu")
    for feature, package in (("uefi", "ovmf"), ("uefi-secure", "ovmf"), ("tpm", "swtpm swtpm-tools")):
        if feature not in host.features:
            yield Finding(f"No {feature}.", f"apt-get install {package}", needed=False)


def _command(error: AppError) -> str:
    if error.code == "qemu.unreachable" and "ermission denied" in (error.log or ""):
        return "usermod --append --groups libvirt,libvirt-qemu $USER, and log in anew"
    return "make qemu"


def _there(program: str) -> bool:
    return shutil.which(program) is not None or any((Path(folder) / program).exists() for folder in _FOLDERS)
