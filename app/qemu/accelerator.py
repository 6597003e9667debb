"""Whether KVM works here is found out by booting, never by looking: /dev/kvm can be there and its guests hang."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from app.domain.errors import QemuRefused
from app.qemu.driver import Accelerator

EMULATOR = "qemu-system-x86_64"
#: TCG does it in 0.06 s; a KVM that needs longer is not one.
PATIENCE = 2.0

#: mov dx, 0x501; mov al, 16; out dx, al; hlt. The device answers (16 << 1) | 1 as QEMU's exit status.
_CODE = bytes.fromhex("ba0105b010eef4ebfd")
_EXIT = 33
_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"

_KVM = Path("/dev/kvm")


def probe(emulator: str = EMULATOR) -> Accelerator:
    """Takes up to some seconds. Raises QemuRefused where QEMU itself does not start a machine (`qemu.incomplete`)."""
    if not _KVM.exists():
        return _emulated(emulator, "This host has no /dev/kvm.")
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return _emulated(emulator, "/dev/kvm may not be opened: is this user in the group kvm?")
    trouble, seconds = _boot(emulator, "kvm", "host")
    if trouble is None:
        return Accelerator("kvm", f"A machine booted under KVM in {seconds:.2f} s.")
    return _emulated(emulator, f"/dev/kvm is there, but {trouble.rstrip('.')}.")


def _emulated(emulator: str, reason: str) -> Accelerator:
    trouble, _ = _boot(emulator, "tcg", "qemu64", patience=10 * PATIENCE)
    if trouble is not None:
        raise QemuRefused(
            f"QEMU does not work here: {trouble}.", code="qemu.incomplete", remedy="Run `make qemu` as root."
        )
    return Accelerator("tcg", reason)


def _boot(emulator: str, accelerator: str, cpu: str, patience: float = PATIENCE) -> tuple[str | None, float]:
    """What went wrong, and how long it took."""
    with tempfile.NamedTemporaryFile(prefix="poolhouse-probe-") as disk:
        disk.write(_SECTOR)
        disk.flush()
        command = [
            emulator, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16",
            "-accel", accelerator, "-cpu", cpu, "-device", "isa-debug-exit,iobase=0x501,iosize=1",
            "-drive", f"file={disk.name},format=raw,if=ide,snapshot=on",
        ]  # fmt: skip
        began = time.monotonic()
        try:
            done = subprocess.run(  # noqa: S603  # our own words
                command, capture_output=True, stdin=subprocess.DEVNULL, timeout=patience, check=False
            )
        except FileNotFoundError:
            return f"{emulator} is not installed", 0.0
        except subprocess.TimeoutExpired:
            return f"no machine started within {patience:g} s", patience
        seconds = time.monotonic() - began
    if done.returncode == _EXIT:
        return None, seconds
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"QEMU said: {said[-1][:200]}" if said else f"QEMU ended with {done.returncode}", seconds
