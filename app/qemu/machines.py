"""A virtual machine of this host as its XML is made from, and what is seen of it. Paths come from `app.qemu.images`,
never from a caller. Units: memory MiB, sizes bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.domain.identifiers import BridgeName, Identifier, SnapshotName

MOST_DISKS = 12
MOST_NICS = 8
MOST_MEDIA = 4


class MachineId(Identifier):
    """Our guest's id, which is the libvirt domain's UUID too."""

    kind = "machine id"
    form = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class NetworkId(Identifier):
    """Our network's id, which is the libvirt network's UUID too. Its bridge is called after it."""

    kind = "network id"
    form = MachineId.form

    @property
    def bridge(self) -> str:
        """What the host calls its bridge: 12 of the kernel's 15 characters."""
        return "ph" + self.replace("-", "")[:10]


class MacAddress(Identifier):
    """A unicast address in lower case: `52:54:00:12:34:56`."""

    kind = "MAC address"
    form = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}", re.ASCII)


class InterfaceName(Identifier):
    """A network interface of the host."""

    kind = "interface name"
    form = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
    max_length = 15


class Format(StrEnum):
    QCOW2 = "qcow2"
    RAW = "raw"


class Bus(StrEnum):
    """How a disk is attached. A `sata` one cannot be attached or detached while the machine runs."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"
    UEFI_SECURE = "uefi-secure"


class Display(StrEnum):
    NONE = "none"
    VNC = "vnc"
    SPICE = "spice"


class BootDevice(StrEnum):
    DISK = "disk"
    CDROM = "cdrom"
    NETWORK = "network"


class System(StrEnum):
    """What the guest is told to be: it decides over clock and enlightenments, not over devices."""

    LINUX = "linux"
    WINDOWS = "windows"
    OTHER = "other"


class NicModel(StrEnum):
    VIRTIO = "virtio"
    E1000 = "e1000"
    RTL8139 = "rtl8139"


@dataclass(frozen=True)
class Disk:
    """`slot` (0 is the first disk) is its place for as long as it is attached, and gives the device its name; the
    volume is known inside the guest by the serial number `serial` (at most 20 of A-Z a-z 0-9 _ . -)."""

    slot: int
    path: Path
    format: Format
    bus: Bus = Bus.VIRTIO
    serial: str | None = None

    @property
    def target(self) -> str:
        """libvirt's name of it, unique in its machine. Letters of `sd` before the fifth belong to the media."""
        if self.bus is Bus.VIRTIO:
            return "vd" + _letter(self.slot)
        return "sd" + _letter(MOST_MEDIA + self.slot)


@dataclass(frozen=True)
class Media:
    """A CD-ROM drive, `path` None where it is empty. Slots 0 to 3; 0 is the first to boot from."""

    slot: int
    path: Path | None = None

    @property
    def target(self) -> str:
        return "sd" + _letter(self.slot)


@dataclass(frozen=True)
class OnNetwork:
    """In a network that `ensure_network` made."""

    network: NetworkId


@dataclass(frozen=True)
class OnBridge:
    """At a bridge of the host that an administrator has made: the guest stands in that bridge's LAN."""

    bridge: BridgeName


@dataclass(frozen=True)
class OnInterface:
    """By macvtap at an interface of the host, private: it reaches the LAN, but neither the host nor other guests."""

    interface: InterfaceName


@dataclass(frozen=True)
class Nic:
    mac: MacAddress
    link: OnNetwork | OnBridge | OnInterface
    model: NicModel = NicModel.VIRTIO


@dataclass(frozen=True)
class Machine:
    """`folder` is the machine's own (its id is in it): consoles' sockets, serial log, firmware variables lie there.
    `cpu` is a model of `Host.cpu_models`, None the one that works with the accelerator. Every machine has a serial
    line, a screen, a channel for the agent, a source of randomness and a balloon."""

    id: MachineId
    tenant: str
    name: str
    memory: int
    cores: int
    folder: Path
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...] = ()
    media: tuple[Media, ...] = ()
    firmware: Firmware = Firmware.BIOS
    tpm: bool = False
    boot: tuple[BootDevice, ...] = (BootDevice.DISK,)
    display: Display = Display.VNC
    system: System = System.LINUX
    cpu: str | None = None

    @property
    def serial_log(self) -> Path:
        """Appended over restarts; virtlogd rotates it into `serial.log.0` and on, bounded. Root may read it."""
        return self.folder / "serial.log"

    @property
    def console_socket(self) -> Path:
        """Of VNC or SPICE. A Unix socket's path has at most 107 bytes."""
        return self.folder / "console.sock"

    @property
    def serial_socket(self) -> Path:
        """Of the serial line, for one reader and writer at a time; the log has all that is said, read or not."""
        return self.folder / "serial.sock"

    @property
    def firmware_variables(self) -> Path:
        return self.folder / "firmware.fd"


class PowerState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Sighting:
    """A machine of ours as the hypervisor has it. `paused_by` says why it is paused where nobody asked for it:
    `io-error` is a full disk. `tenant` is what its mark says."""

    id: MachineId
    tenant: str
    state: PowerState
    memory: int
    cores: int
    paused_by: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """`taken_at` seconds of epoch; `running` tells whether the memory is in it."""

    name: SnapshotName
    description: str
    taken_at: int
    running: bool
    parent: SnapshotName | None = None
    current: bool = False


class BackupState(StrEnum):
    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class BackupProgress:
    """`done` and `total` in bytes, of all disks together. DONE and FAILED are of the last one that ended."""

    state: BackupState
    done: int = 0
    total: int = 0
    error: str | None = None


@dataclass(frozen=True)
class DiskFigures:
    """Counted since the machine was started; `capacity`, `allocation` bytes."""

    target: str
    read_bytes: int
    written_bytes: int
    reads: int
    writes: int
    capacity: int | None = None
    allocation: int | None = None


@dataclass(frozen=True)
class NicFigures:
    """Counted since the machine was started, as the guest sees it: `received` is what came to it."""

    mac: MacAddress | None
    received: int
    sent: int
    received_packets: int
    sent_packets: int


@dataclass(frozen=True)
class Figures:
    """`cpu_seconds` of host time since the start; `memory` what it has, `memory_used` what the guest says it uses
    (None without a balloon driver), `memory_resident` what the host has given; MiB."""

    id: MachineId
    state: PowerState
    cpu_seconds: float
    cores: int
    memory: int
    memory_used: int | None
    memory_resident: int | None
    disks: tuple[DiskFigures, ...]
    nics: tuple[NicFigures, ...]


@dataclass(frozen=True)
class FileSystem:
    """As seen from inside the guest; `total` and `used` in bytes, None where the agent does not say."""

    mountpoint: str
    device: str
    type: str
    total: int | None
    used: int | None


@dataclass(frozen=True)
class GuestInfo:
    """What the agent inside says; each part is empty where it does not know. `addresses` without loopback.
    `uptime` seconds."""

    hostname: str | None = None
    system: str | None = None
    kernel: str | None = None
    users: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    file_systems: tuple[FileSystem, ...] = ()
    uptime: int | None = None


@dataclass(frozen=True)
class Picture:
    """Of a machine's screen."""

    media_type: str
    data: bytes


def _letter(number: int) -> str:
    return chr(ord("a") + number)
