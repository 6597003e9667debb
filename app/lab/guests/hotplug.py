"""What a running VM takes at once and what waits for its next start (qemu-server 9: vmconfig_hotplug_pending)."""

import re
from collections.abc import Callable, Mapping

from app.lab.guests import drives, options, properties
from app.lab.state import Guest
from app.lab.storage.words import words

_DEFAULT = frozenset({"network", "disk", "usb"})
_KEEPS_DRIVE = ("aio", "cache", "discard", "iothread", "product", "queues", "ro", "ssd", "vendor")
"""What a drive can not change while it is in use; its limits and marks it can."""
_KEEPS_CARD = ("model", "macaddr", "queues", "mtu")
_USB_SYSTEMS = frozenset(words("l26 win8 win10 win11"))


def _features(guest: Guest) -> frozenset[str]:
    text = str(guest.config.get("hotplug", "1"))
    if text == "1":
        return _DEFAULT
    return frozenset(part for part in re.split(r"[,; ]+", text) if part not in ("", "0"))


def _same(old: Mapping[str, str], new: Mapping[str, str], names: tuple[str, ...]) -> bool:
    return all(old.get(name) == new.get(name) for name in names)


def _usb(guest: Guest, _key: str, _value: str | None) -> bool:
    return "usb" in _features(guest) and guest.config.get("ostype") in _USB_SYSTEMS


def _hotplug(guest: Guest, _key: str, value: str | None) -> bool:
    return not re.search("cpu|memory", f"{guest.config.get('hotplug', '')} {value or ''}")


def _balloon(guest: Guest, _key: str, value: str | None) -> bool:
    """The device itself neither comes nor goes."""
    had = int(guest.config.get("balloon", 1)) != 0
    return had if value is None else had == (int(value) != 0)


def _net(guest: Guest, key: str, value: str | None) -> bool:
    if value is not None and key in guest.config:
        old, new = properties.parse_qemu_net(str(guest.config[key])), properties.parse_qemu_net(value)
        if _same(old, new, _KEEPS_CARD) and old.get("bridge") and new.get("bridge"):
            return True
    return "network" in _features(guest)


def _agent(guest: Guest, key: str, value: str | None) -> bool:
    """Only what happens after a clone changes at once."""
    if value is None or key not in guest.config:
        return False
    old, new = (properties.parse(text, "enabled") for text in (str(guest.config[key]), value))
    return _same(old, new, tuple({*old, *new} - {"fstrim_cloned_disks"}))


def _drive(guest: Guest, key: str, value: str | None) -> bool:
    if key in ("efidisk0", "tpmstate0"):
        return False
    fixed_bus = options.family(key) in ("ide", "sata")
    if value is not None and key in guest.config:
        old, new = properties.parse_drive(str(guest.config[key])), properties.parse_drive(value)
        if properties.is_cdrom(old):
            return properties.is_cdrom(new)
        if old.get("file") == new.get("file"):
            return _same(old, new, _KEEPS_DRIVE)
    return "disk" in _features(guest) and not fixed_bus


def _by_feature(feature: str) -> Callable[[Guest, str, str | None], bool]:
    return lambda guest, _key, _value: feature in _features(guest)


_JUDGES = {
    "hotplug": _hotplug,
    "tablet": _by_feature("usb"),
    "vcpus": _by_feature("cpu"),
    "memory": _by_feature("memory"),
    "balloon": _balloon,
    "agent": _agent,
    "usb": _usb,
    "net": _net,
}


def at_once(guest: Guest, key: str, value: str | None) -> bool:
    """Whether this value, or the end of the option where it is None, reaches the running VM at once."""
    family = options.family(key)
    if key in options.QEMU_AT_ONCE or options.is_cloudinit(key) or family == "unused":
        return True
    if drives.is_drive(key):
        return _drive(guest, key, value)
    judge = _JUDGES.get(key) or _JUDGES.get(family)
    return judge is not None and judge(guest, key, value)


def problems(guest: Guest, changes: Mapping[str, str | int]) -> dict[str, str]:
    """What PVE tells of changes that a running VM can not make, by option; they wait all the same."""
    return {
        key: "hotplug problem - unable to change media type\n"
        for key, value in changes.items()
        if guest.status == "running" and drives.is_drive(key) and key in guest.config
        if _is_cd(guest.config[key]) != _is_cd(value)
    }


def _is_cd(value: str | int) -> bool:
    return properties.is_cdrom(properties.parse_drive(str(value)))
