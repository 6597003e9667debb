"""Which option of a guest belongs to which privilege, and which take effect on a running guest at once.

From the recorded answers (facts.md section 6) and pve-qemu-server 9 / pve-container 6, whose names the sets carry.
"""

import re

from app.lab.storage.words import words

QEMU_CPU = frozenset(words("cores cpu cpulimit cpuunits numa smp sockets vcpus"))
QEMU_MEMORY = frozenset(words("allow-ksm balloon memory shares"))
QEMU_HARDWARE = frozenset(words("acpi audio0 hotplug kvm machine rng0 scsihw smbios1 tablet vga watchdog"))
QEMU_GENERAL = frozenset(
    words(
        "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name onboot "
        "ostype protection reboot startdate startup tdf template"
    )
)
QEMU_POWER = frozenset({"freeze"})
QEMU_DISK = frozenset({"boot", "bootdisk", "vmstatestorage"})
QEMU_CLOUDINIT = frozenset(words("cicustom cipassword citype ciupgrade ciuser nameserver searchdomain sshkeys"))

QEMU_AT_ONCE = frozenset(
    words(
        "cpulimit cpuunits description hookscript lock migrate_downtime migrate_speed name onboot protection shares "
        "startup tags vmstatestorage"
    )
)
"""Whatever their values; of others `app.lab.guests.hotplug` knows more."""
LXC_AT_ONCE = frozenset(
    words(
        "cores cpulimit cpuunits description hookscript hostname lock memory onboot protection startup "
        "swap tags template"
    )
)

_NUMBERED = re.compile(r"^([a-z]+)(\d+)$")
_VALUE_CHECKED = frozenset({"unused", "serial", "usb", "hostpci", "rng", "virtiofs"})


def family(option: str) -> str:
    """`net` of `net0`; the option itself where it has no number."""
    match = _NUMBERED.match(option)
    return match[1] if match else option


def is_cloudinit(option: str) -> bool:
    return option in QEMU_CLOUDINIT or family(option) == "ipconfig"


def checked_by_value(option: str) -> bool:
    """Whether a VM's option is judged by what it holds (serial, usb, hostpci and so on), not by its name alone."""
    return family(option) in _VALUE_CHECKED


def lxc_at_once(option: str) -> bool:
    """Whether a change reaches the running container at once; others wait for its next start."""
    return option in LXC_AT_ONCE or family(option) in ("net", "unused")


READ_ONLY_LXC = frozenset({"unprivileged"})
