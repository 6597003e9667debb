"""How the house comes by its driver, on hosts with libvirt's binding and without."""

from __future__ import annotations

import importlib

from app.domain.errors import QemuAway
from app.qemu.driver import Accelerator, HypervisorDriver
from app.qemu.guards import Guards

SYSTEM_URI = "qemu:///system"


def open_driver(uri: str = SYSTEM_URI, *, accelerator: Accelerator, guarded: Guards | None = None) -> HypervisorDriver:
    """Connects when it is first asked. Raises QemuAway (`qemu.not_installed`) without libvirt's Python binding."""
    try:
        libvirt = importlib.import_module("app.qemu.libvirt")
    except ImportError as error:
        raise QemuAway(
            "libvirt's Python binding is not installed.", code="qemu.not_installed", remedy="Run `make qemu` as root.",
            log=str(error),
        ) from error  # fmt: skip
    driver: HypervisorDriver = libvirt.LibvirtDriver(uri, accelerator=accelerator, guarded=guarded)
    return driver
