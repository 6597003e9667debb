"""libvirt's XML, built from our values with ElementTree and from nothing else; and what is read from libvirt's.

Facts are libvirt 9.0's and QEMU 7.2's, as Debian 12 has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from xml.etree import ElementTree as ET

from app.domain.errors import QemuRefused
from app.domain.identifiers import SnapshotName
from app.qemu.machines import (
    BootDevice,
    Bus,
    Disk,
    Display,
    Firmware,
    MacAddress,
    Machine,
    MachineId,
    Media,
    NetworkId,
    Nic,
    OnBridge,
    OnInterface,
    OnNetwork,
    Snapshot,
    System,
)
from app.qemu.networks import Forward, Mode, Network, Protocol, Reservation

#: The namespace of our mark in a domain's and a network's metadata.
MARK = "urn:poolhouse:mark:1"
MARK_KEY = "poolhouse"
ET.register_namespace(MARK_KEY, MARK)

NAME_PREFIX = "poolhouse-"

#: nwfilter's names, for cards in our networks and for those in a LAN.
NETWORK_FILTER, LAN_FILTER = "poolhouse-network", "poolhouse-lan"
_FILTER_IDS = {
    NETWORK_FILTER: "6d1c3a52-9f0e-4b8e-8d51-0b7f3c0a9e01",
    LAN_FILTER: "6d1c3a52-9f0e-4b8e-8d51-0b7f3c0a9e02",
}

_EMULATOR = "/usr/bin/qemu-system-x86_64"
_OVMF = Path("/usr/share/OVMF")
#: Code and the template of the variables; Microsoft's keys, under which distributions have their loaders signed.
FIRMWARE_FILES: Mapping[Firmware, tuple[Path, Path]] = {
    Firmware.UEFI: (_OVMF / "OVMF_CODE_4M.fd", _OVMF / "OVMF_VARS_4M.fd"),
    Firmware.UEFI_SECURE: (_OVMF / "OVMF_CODE_4M.ms.fd", _OVMF / "OVMF_VARS_4M.ms.fd"),
}

#: What TCG emulates whole, and x86-64-v2 systems start on.
_TCG_CPU = "Nehalem"
#: Of PCI Express slots, for what is attached while the machine runs.
_SPARE_PORTS = 8
_BALLOON_SECONDS = 10
_LONGEST_SOCKET_PATH = 107

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def name_of(identifier: MachineId | NetworkId) -> str:
    """At libvirt, of a machine or a network."""
    return NAME_PREFIX + identifier


# -- machines


def domain(machine: Machine, accelerator: str) -> str:
    """`accelerator` is `kvm` or `tcg`. Raises ValueError for a path that XML or a socket cannot carry."""
    root = ET.Element("domain", type="kvm" if accelerator == "kvm" else "qemu")
    _put(root, "name", name_of(machine.id))
    _put(root, "uuid", machine.id)
    _put(root, "title", _line(machine.name))
    _mark(root, "guest", machine.id, machine.tenant)
    _put(root, "memory", str(machine.memory), unit="MiB")
    _put(root, "vcpu", str(machine.cores), placement="static")
    _boot_firmware(root, machine)
    features = ET.SubElement(root, "features")
    _put(features, "acpi")
    _put(features, "apic")
    if machine.firmware is Firmware.UEFI_SECURE:
        _put(features, "smm", state="on")
    if machine.system is System.WINDOWS:
        hyperv = ET.SubElement(features, "hyperv", mode="custom")
        for name in ("relaxed", "vapic"):
            _put(hyperv, name, state="on")
        _put(hyperv, "spinlocks", state="on", retries="8191")
    _cpu(root, machine, accelerator)
    _clock(root, machine.system)
    _put(root, "on_poweroff", "destroy")
    _put(root, "on_reboot", "restart")
    _put(root, "on_crash", "destroy")
    power = ET.SubElement(root, "pm")
    _put(power, "suspend-to-mem", enabled="no")
    _put(power, "suspend-to-disk", enabled="no")
    _devices(ET.SubElement(root, "devices"), machine)
    return text(root)


def disk(value: Disk, boot: int | None = None) -> ET.Element:
    element = ET.Element("disk", type="file", device="disk")
    _put(element, "driver", name="qemu", type=value.format.value, discard="unmap")
    _put(element, "source", file=_path(value.path))
    _put(element, "target", dev=value.target, bus=value.bus.value)
    if value.serial is not None:
        _put(element, "serial", value.serial)
    if boot is not None:
        _put(element, "boot", order=str(boot))
    return element


def media(value: Media, system: System, boot: int | None = None) -> ET.Element:
    """On virtio-scsi for Linux: Debian's cloud kernel has no driver for AHCI, and would not find its seed there."""
    element = ET.Element("disk", type="file", device="cdrom")
    _put(element, "driver", name="qemu", type="raw")
    if value.path is not None:
        _put(element, "source", file=_path(value.path))
    _put(element, "target", dev=value.target, bus="scsi" if system is System.LINUX else "sata")
    _put(element, "readonly")
    if boot is not None:
        _put(element, "boot", order=str(boot))
    return element


def nic(value: Nic, boot: int | None = None) -> ET.Element:
    match value.link:
        case OnNetwork(network):
            element = ET.Element("interface", type="network")
            _put(element, "source", network=name_of(network))
        case OnBridge(bridge):
            element = ET.Element("interface", type="bridge")
            _put(element, "source", bridge=bridge)
        case OnInterface(interface):
            element = ET.Element("interface", type="direct")
            _put(element, "source", dev=interface, mode="private")
    _put(element, "mac", address=value.mac)
    _put(element, "model", type=value.model.value)
    if isinstance(value.link, OnNetwork):
        _put(element, "filterref", filter=NETWORK_FILTER)
    if isinstance(value.link, OnBridge):
        _put(element, "filterref", filter=LAN_FILTER)
        _put(element, "port", isolated="yes")
    if boot is not None:
        _put(element, "boot", order=str(boot))
    else:
        _put(element, "rom", enabled="no")  # iPXE, which only takes time
    return element


def _boot_firmware(root: ET.Element, machine: Machine) -> None:
    system = ET.SubElement(root, "os")
    _put(system, "type", "hvm", arch="x86_64", machine="q35")
    if machine.firmware is not Firmware.BIOS:
        code, variables = FIRMWARE_FILES[machine.firmware]
        secure = "yes" if machine.firmware is Firmware.UEFI_SECURE else "no"
        _put(system, "loader", _path(code), readonly="yes", secure=secure, type="pflash")
        _put(system, "nvram", _path(machine.firmware_variables), template=_path(variables))
    _put(system, "bootmenu", enable="no")


def _cpu(root: ET.Element, machine: Machine, accelerator: str) -> None:
    model = machine.cpu or (None if accelerator == "kvm" else _TCG_CPU)
    if model is None:
        _put(root, "cpu", mode="host-passthrough", check="none", migratable="on")
        return
    # check="none": TCG lacks some feature of nearly every model, and says so in the log.
    cpu = ET.SubElement(root, "cpu", mode="custom", match="exact", check="none")
    _put(cpu, "model", model, fallback="forbid")


def _clock(root: ET.Element, system: System) -> None:
    clock = ET.SubElement(root, "clock", offset="localtime" if system is System.WINDOWS else "utc")
    _put(clock, "timer", name="rtc", tickpolicy="catchup")
    _put(clock, "timer", name="pit", tickpolicy="delay")
    _put(clock, "timer", name="hpet", present="no")
    if system is System.WINDOWS:
        _put(clock, "timer", name="hypervclock", present="yes")


def _devices(devices: ET.Element, machine: Machine) -> None:
    _put(devices, "emulator", _EMULATOR)
    _put(devices, "controller", type="pci", model="pcie-root", index="0")
    # libvirt adds a port for each device that needs one, so that these stay free.
    fixed = sum(1 for one in machine.disks if one.bus is Bus.VIRTIO) + len(machine.nics) + 6
    for index in range(1, fixed + _SPARE_PORTS + 1):
        _put(devices, "controller", type="pci", model="pcie-root-port", index=str(index))
    _put(devices, "controller", type="scsi", model="virtio-scsi", index="0")
    _put(devices, "controller", type="usb", model="qemu-xhci", index="0")
    _put(devices, "controller", type="virtio-serial", index="0")
    order = _boot_order(machine)
    devices.extend([disk(one, order.get(one.target)) for one in machine.disks])
    devices.extend([media(one, machine.system, order.get(one.target)) for one in machine.media])
    devices.extend([nic(one, order.get(one.mac)) for one in machine.nics])
    _serial(devices, machine)
    agent = ET.SubElement(devices, "channel", type="unix")
    _put(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    _screen(devices, machine)
    if machine.tpm:
        tpm = ET.SubElement(devices, "tpm", model="tpm-crb")
        _put(tpm, "backend", type="emulator", version="2.0")
    noise = ET.SubElement(devices, "rng", model="virtio")
    _put(noise, "backend", "/dev/urandom", model="random")
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    _put(balloon, "stats", period=str(_BALLOON_SECONDS))


def _boot_order(machine: Machine) -> dict[str, int]:
    """By target or MAC address, from 1."""
    kinds: Mapping[BootDevice, Iterable[str]] = {
        BootDevice.DISK: [one.target for one in sorted(machine.disks, key=lambda one: one.slot)],
        BootDevice.CDROM: [one.target for one in sorted(machine.media, key=lambda one: one.slot)],
        BootDevice.NETWORK: [one.mac for one in machine.nics],
    }
    names = [name for device in machine.boot for name in kinds[device]]
    return {name: number for number, name in enumerate(names, start=1)}


def _serial(devices: ET.Element, machine: Machine) -> None:
    line = ET.SubElement(devices, "serial", type="unix")
    _put(line, "source", mode="bind", path=_socket_path(machine.serial_socket))
    _put(line, "log", file=_path(machine.serial_log), append="on")
    _put(line, "target", port="0")


def _screen(devices: ET.Element, machine: Machine) -> None:
    if machine.display is not Display.NONE:
        _put(devices, "input", type="tablet", bus="usb")
        graphics = ET.SubElement(devices, "graphics", type=machine.display.value)
        _put(graphics, "listen", type="socket", socket=_socket_path(machine.console_socket))
    if machine.display is Display.SPICE:
        channel = ET.SubElement(devices, "channel", type="spicevmc")
        _put(channel, "target", type="virtio", name="com.redhat.spice.0")
        _put(devices, "audio", id="1", type="none")
    # There without a display too: many systems do not start without a screen's controller.
    video = ET.SubElement(devices, "video")
    _put(video, "model", type="vga", vram="16384", heads="1", primary="yes")


# -- snapshots and backups


def snapshot(name: SnapshotName, description: str) -> str:
    root = ET.Element("domainsnapshot")
    _put(root, "name", name)
    _put(root, "description", _printable(description))
    return text(root)


def backup(targets: Mapping[str, Path], others: Iterable[str]) -> str:
    """By the names of disks; `others` are left out."""
    root = ET.Element("domainbackup", mode="push")
    disks = ET.SubElement(root, "disks")
    for name, path in targets.items():
        one = ET.SubElement(disks, "disk", name=name, backup="yes", type="file")
        _put(one, "target", file=_path(path))
        _put(one, "driver", type="qcow2")
    for name in others:
        _put(disks, "disk", name=name, backup="no")
    return text(root)


# -- networks


def network(value: Network) -> str:
    """`route` for NAT: libvirt then lets its packets pass, and the hook that guards the network does the translation,
    keeps guests from the host and from each other's networks, and forwards ports, which libvirt's own NAT has no means
    for. The hook reads the mark, and the forwards out of the TXT records: of a network's definition only those that
    `virNetworkUpdate` changes can change while it runs."""
    root = ET.Element("network")
    _put(root, "name", name_of(value.id))
    _put(root, "uuid", value.id)
    mark = _mark(root, "network", value.id, value.tenant)
    mark.set("mode", value.mode.value)
    mark.set("reaches", " ".join(map(str, value.reaches)))
    if value.mode is Mode.NAT:
        _put(root, "forward", mode="route")
    _put(root, "bridge", name=value.id.bridge, stp="off", delay="0")
    if value.forwards:
        names = ET.SubElement(root, "dns")
        names.extend([forward(one) for one in value.forwards])
    address = ET.SubElement(root, "ip", address=str(value.gateway), prefix=str(value.subnet.prefixlen))
    leases = ET.SubElement(address, "dhcp")
    _put(leases, "range", start=str(value.subnet[2]), end=str(value.subnet[-2]))
    leases.extend([reservation(one) for one in value.reservations])
    return text(root)


def reservation(value: Reservation) -> ET.Element:
    return ET.Element("host", mac=value.mac, ip=str(value.address))


def forward(value: Forward) -> ET.Element:
    """As a TXT record: `tcp.192.0.2.1.8080.forward` is `10.20.0.5:80`."""
    return ET.Element(
        "txt",
        name=f"{value.protocol.value}.{value.address}.{value.port}.forward",
        value=f"{value.guest}:{value.guest_port}",
    )


_FORWARD_NAME = re.compile(r"(tcp|udp)\.([0-9.]+)\.([0-9]+)\.forward", re.ASCII)


def forwards_of(root: ET.Element) -> dict[Forward, ET.Element]:
    found = {}
    for record in root.iterfind("./dns/txt"):
        name = _FORWARD_NAME.fullmatch(record.get("name", ""))
        guest, _, port = record.get("value", "").partition(":")
        if name:
            key = Forward(Protocol(name[1]), IPv4Address(name[2]), int(name[3]), IPv4Address(guest), int(port))
            found[key] = record
    return found


def reservations_of(root: ET.Element) -> dict[Reservation, ET.Element]:
    return {
        Reservation(MacAddress(host.get("mac", "")), IPv4Address(host.get("ip", ""))): host
        for host in root.iterfind("./ip/dhcp/host")
    }


def network_filter(name: str) -> str:
    """What a guest may send: under its own address only; in our networks IPv4 and ARP, in a LAN IPv6 too."""
    root = ET.Element("filter", name=name, chain="root")
    _put(root, "uuid", _FILTER_IDS[name])
    rule = ET.SubElement(root, "rule", action="drop", direction="out", priority="100")
    _put(rule, "mac", match="no", srcmacaddr="$MAC")
    rule = ET.SubElement(root, "rule", action="drop", direction="out", priority="200")
    _put(rule, "arp", match="no", arpsrcmacaddr="$MAC")
    protocols = ["arp", "ipv4", *(["ipv6"] if name == LAN_FILTER else [])]
    for number, protocol in enumerate(protocols):
        rule = ET.SubElement(root, "rule", action="accept", direction="inout", priority=str(300 + number))
        _put(rule, "mac", protocolid=protocol)
    rule = ET.SubElement(root, "rule", action="drop", direction="inout", priority="900")
    _put(rule, "mac")
    return text(root)


# -- reading


def parsed(text: str) -> ET.Element:
    """Raises QemuRefused for what is no XML."""
    try:
        return ET.fromstring(text)  # noqa: S314  # libvirt's own words
    except ET.ParseError as error:
        raise QemuRefused("libvirt gave an answer that makes no sense.", log=str(error)) from None


def tenant_of(mark: ET.Element) -> str:
    return mark.get("tenant", "")


def source_of(device: ET.Element) -> str | None:
    """A disk's file."""
    source = device.find("source")
    return None if source is None else source.get("file")


def device(root: ET.Element, target: str) -> ET.Element | None:
    """A disk or a drive, by its target's name."""
    return next((one for one in root.iterfind("./devices/disk") if _target(one) == target), None)


def disk_names(root: ET.Element) -> list[str]:
    return [_target(one) for one in root.iterfind("./devices/disk")]


def card(root: ET.Element, mac: str) -> ET.Element | None:
    """A network card, by its address."""
    return next((one for one in root.iterfind("./devices/interface") if _mac(one) == mac), None)


def cards(root: ET.Element) -> dict[str, MacAddress]:
    """MAC addresses by the names of the host's ends."""
    found = {}
    for one in root.iterfind("./devices/interface"):
        target = one.find("target")
        if target is not None and (mac := _mac(one)):
            found[target.get("dev", "")] = MacAddress(mac)
    return found


def same_card(one: ET.Element, other: ET.Element) -> bool:
    """Of the same kind, at the same place."""
    return _wiring(one) == _wiring(other)


def snapshot_of(text: str, *, current: bool) -> Snapshot:
    root = parsed(text)
    parent = root.findtext("./parent/name")
    return Snapshot(
        name=SnapshotName(root.findtext("name", "")),
        description=root.findtext("description", ""),
        taken_at=int(root.findtext("creationTime", "0")),
        running=root.findtext("state") in ("running", "paused"),
        parent=SnapshotName(parent) if parent else None,
        current=current,
    )


def backup_targets(text: str) -> dict[str, str]:
    """Of a backup under way: files by the names of disks."""
    found = {}
    for one in parsed(text).iterfind("./disks/disk"):
        target = one.find("target")
        if one.get("backup") != "no" and target is not None:
            found[one.get("name", "")] = target.get("file", "")
    return found


def subnet_of(root: ET.Element) -> str | None:
    """Of a network: `10.20.0.1/24`, the host's address in it."""
    address = root.find("ip")
    return None if address is None else f"{address.get('address')}/{address.get('prefix')}"


def _target(element: ET.Element) -> str:
    target = element.find("target")
    return "" if target is None else target.get("dev", "")


def _mac(element: ET.Element) -> str:
    mac = element.find("mac")
    return "" if mac is None else mac.get("address", "").lower()


def _wiring(element: ET.Element) -> tuple[str | None, ...]:
    source, model = element.find("source"), element.find("model")
    keys = ("network", "bridge", "dev", "mode")
    kept = [None if source is None else source.get(key) for key in keys]
    if element.get("type") == "network":  # libvirt adds the bridge of a network that runs
        kept[1:] = [None] * 3
    return (element.get("type"), _mac(element), None if model is None else model.get("type"), *kept)


# -- writing


def _mark(root: ET.Element, kind: str, identifier: str, tenant: str) -> ET.Element:
    mark = ET.SubElement(ET.SubElement(root, "metadata"), f"{{{MARK}}}{kind}")
    mark.set("id", identifier)
    mark.set("tenant", _line(tenant))
    return mark


def _put(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def text(element: ET.Element) -> str:
    return ET.tostring(element, encoding="unicode")


def _printable(words: str) -> str:
    """XML 1.0 has no place for most control characters and for half a surrogate."""
    return _NOT_XML.sub("\ufffd", words)


def _line(words: str) -> str:
    """libvirt takes no line break in a title."""
    return re.sub(r"[\r\n]+", " ", _printable(words))


def _path(path: Path) -> str:
    words = str(path)
    if not path.is_absolute() or _NOT_XML.search(words) or "\n" in words:
        raise ValueError("a path that XML cannot carry")
    return words


def _socket_path(path: Path) -> str:
    words = _path(path)
    if len(words.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError("a path that is too long for a socket")
    return words
