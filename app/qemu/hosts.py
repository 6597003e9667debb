"""What this host is: of libvirt's capabilities what the house needs, and of the kernel what libvirt does not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from app.qemu import xml
from app.qemu.driver import Interface
from app.qemu.machines import Firmware

_CARDS = Path("/sys/class/net")
_CPU_INFO = Path("/proc/cpuinfo")
_OTHERS = re.compile(r"(ph[0-9a-f]{10}|virbr\d+|docker\d+|br-[0-9a-f]{12})$")


def facts(info: Sequence[Any], free_bytes: int) -> dict[str, Any]:
    """Fields of `Host`, out of `virNodeGetInfo` and the kernel."""
    return {
        "cores": int(info[2]),
        "cpu": _cpu() or str(info[0]),
        "memory": int(info[1]),
        "free_memory": free_bytes >> 20,
        "bridges": bridges(),
        "interfaces": interfaces(),
    }


def cpu_models(capabilities: ET.Element) -> tuple[str, ...]:
    """Those that libvirt says work here, out of its domain capabilities."""
    models = capabilities.iterfind("./cpu/mode[@name='custom']/model")
    return tuple(sorted(model.text or "" for model in models if model.get("usable") == "yes"))


def features(capabilities: ET.Element) -> frozenset[str]:
    """Of uefi, uefi-secure, tpm, spice."""
    found = set()
    firmware = _values(capabilities, "./os/enum[@name='firmware']")
    for name in (Firmware.UEFI, Firmware.UEFI_SECURE):
        if "efi" in firmware and all(path.is_file() for path in xml.FIRMWARE_FILES[name]):
            found.add(name.value)
    if "emulator" in _values(capabilities, "./devices/tpm/enum[@name='backendModel']"):
        found.add("tpm")
    if "spice" in _values(capabilities, "./devices/graphics/enum[@name='type']"):
        found.add("spice")
    return frozenset(found)


def bridges() -> tuple[str, ...]:
    """The host's, without those of our networks, of libvirt's and of containers'."""
    names = (card.name for card in _cards() if (card / "bridge").is_dir())
    return tuple(name for name in names if not _OTHERS.match(name))


def interfaces() -> tuple[Interface, ...]:
    """Those with a device behind them."""
    return tuple(
        Interface(card.name, _said(card / "operstate") == "up", _said(card / "address"))
        for card in _cards()
        if (card / "device").exists()
    )


def _cards() -> list[Path]:
    return sorted(_CARDS.iterdir()) if _CARDS.is_dir() else []


def _said(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _cpu() -> str:
    for line in _said(_CPU_INFO).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""


def _values(root: ET.Element, path: str) -> set[str]:
    return {value.text or "" for value in root.iterfind(f"{path}/value")}
