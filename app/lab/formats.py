"""PVE's named formats: what a value must look like, and what PVE says where it does not (texts end in a newline)."""

import ipaddress
import re
import socket
from collections.abc import Callable

from app.lab.access.privileges import ALL
from app.lab.icmp import ICMP_TYPES, ICMPV6_TYPES
from app.lab.numbers import number_of


class BadFormat(ValueError):
    """A value that its format refuses; the text is PVE's, without its newline."""


Check = Callable[[str], None]


def _matches(pattern: str, text: str) -> Check:
    """A check by pattern; `{}` in the text stands for the value."""
    compiled = re.compile(pattern)

    def check(value: str) -> None:
        if not compiled.search(value):
            raise BadFormat(text.replace("{}", value))

    return check


def _is_ip(value: str, version: int | None = None) -> bool:
    try:
        return version in (None, ipaddress.ip_address(value).version)
    except ValueError:
        return False


def _address(text: str, version: int | None = None) -> Check:
    def check(value: str) -> None:
        if not _is_ip(value, version):
            raise BadFormat(text)

    return check


def _is_network(value: str, version: int | None = None) -> bool:
    address, slash, prefix = value.partition("/")
    length = number_of(prefix)
    if not slash or length is None or not _is_ip(address, version):
        return False
    bits = 32 if "." in address else 128
    return length <= bits and (bits == 128 or length >= 1 or version is None)


def _network(text: str, version: int | None = None, *words: str) -> Check:
    def check(value: str) -> None:
        if value not in words and not _is_network(value, version):
            raise BadFormat(text)

    return check


_DNS = r"^(([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)\.)*([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)$"
_ALIAS = r"^(?:(?:dc|guest)/)?[A-Za-z][A-Za-z0-9\-\_]+$"
_TAG = r"(?i)^[a-z0-9_][a-z0-9_\-\+\.]*$"


def _storage_id(value: str) -> None:
    if len(value) < 2:
        raise BadFormat(f"storage ID '{value}' cannot be shorter than 2 characters")
    if not re.match(r"(?i)^[a-z][a-z0-9\-\_\.]*[a-z0-9]$", value):
        raise BadFormat(f"storage ID '{value}' contains illegal characters")


def _user_id(value: str) -> None:
    if len(value) < 3:
        raise BadFormat(f"user name '{value}' is too short")
    if len(value) > 64:
        raise BadFormat(f"user name '{value}' is too long ({len(value)} > 64)")
    if not re.match(r"^([^\s:/]+)@([A-Za-z][A-Za-z0-9.\-_]+)$", value):
        raise BadFormat(f"value '{value}' does not look like a valid user name")


def _pool_id(value: str) -> None:
    if len(value.rstrip("/").split("/")) > 3:
        raise BadFormat(f"pool name '{value}' nested too deeply (max levels = 3)")
    if not re.match(r"^[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}$", value):
        raise BadFormat(f"pool name '{value}' contains invalid characters")


def _privilege(value: str) -> None:
    if value not in ALL:
        raise BadFormat(f"invalid privilege '{value}'")


_CONTENT = frozenset({"images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"})


def _content(value: str) -> None:
    if value not in _CONTENT:
        raise BadFormat(f"invalid content type '{value}'")


def _volume_id(value: str) -> None:
    if not re.match(r"(?i)^([a-z][a-z0-9\-_.]*[a-z0-9]):(.+)$", value):
        raise BadFormat(f"unable to parse volume ID '{value}'")


def _volume_or_path(value: str) -> None:
    if not value.startswith("/"):
        _volume_id(value)


def _drive_volume(value: str) -> None:
    if value not in ("none", "cdrom") and not value.startswith("/"):
        _volume_id(value)


def _mount_path(value: str) -> None:
    if re.search(r"/\.\.?/|/\.\.?$|^\.\.?/", value):
        raise BadFormat(f"{value} contains illegal character sequences")


def _device_path(value: str) -> None:
    if not value.startswith("/dev/") or re.search(r"/\.\.?(?:/|$)", value):
        raise BadFormat(f"{value} is not a valid device path")


_BOOT = re.compile(r"^(?:ide[0-3]|sata[0-5]|scsi(?:[12]?\d|30)|virtio(?:1[0-5]|\d)|(?:net|usb|hostpci)\d+)$")


def _boot_device(value: str) -> None:
    if not _BOOT.match(value):
        raise BadFormat(f"invalid boot device '{value}'")


_HOTPLUG = frozenset({"network", "disk", "cpu", "memory", "usb", "cloudinit"})


def _hotplug(value: str) -> None:
    if value not in ("0", "1"):
        for feature in value.split(","):
            if feature not in _HOTPLUG:
                raise BadFormat(f"invalid hotplug feature '{feature}'")


def _startup(value: str) -> None:
    if value in ("", "0"):
        raise BadFormat("unable to parse startup options")
    for part in value.split(","):
        if part.strip() and not re.match(r"^(?:(?:order=)?\d+|up=\d+|down=\d+)$", part.strip()):
            raise BadFormat("unable to parse startup options")


_ZONES = re.compile(
    r"^(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)/\w[\w+\-/]*$"
)
_CITIES = frozenset({"host", "UTC", "GMT", "CET", "EET", "MET", "WET", "EST", "MST", "HST", "Japan", "Israel"})


def _timezone(value: str) -> None:
    if value not in _CITIES and not _ZONES.match(value):
        raise BadFormat(f"invalid time zone '{value}'")


def _urlencoded(value: str) -> None:
    if not re.match(r"^[-%a-zA-Z0-9_.!~*'()]*$", value):
        raise BadFormat("invalid urlencoded string: not url encoded")


def _loose_network(value: str) -> None:
    if not _is_ip(value) and not _is_network(value):
        raise BadFormat("value does not look like a valid IP address or CIDR network")


def _network_or_alias(value: str) -> None:
    if not re.match(_ALIAS, value):
        _loose_network(value)


def _firewall_address(value: str) -> None:
    if re.match(r"^(?:\+\S+|(?:(?:dc|guest)/)?[A-Za-z][\w\-]+)$", value):
        return
    for part in value.split(","):
        ends = part.split("-")
        if not all(_is_ip(end) or _is_network(end) for end in ends) or len(ends) > 2:
            raise BadFormat(f"invalid IP address: Invalid chars in IP {part}")
    if len({":" in part for part in value.split(",") if part}) > 1:
        raise BadFormat(f"detected mixed ipv4/ipv6 addresses in address list '{value}'")


_PROTOCOLS = frozenset(
    {"tcp", "udp", "icmp", "icmpv6", "ipv6-icmp", "igmp", "ipip", "egp", "gre", "esp", "ah", "ospf", "sctp", "vrrp"}
    | {"dccp", "udplite", "ipv6", "ipencap", "l2tp", "rsvp", "pim", "isis", "eigrp", "hip", "ggp", "st", "igp", "pup"}
)


def _protocol(value: str) -> None:
    number = number_of(value)
    if value not in _PROTOCOLS and (number is None or number > 255):
        raise BadFormat(f"unknown protocol '{value}'")


def _is_service(name: str) -> bool:
    try:
        return bool(socket.getservbyname(name))
    except (OSError, ValueError):
        return False


def _ports(value: str, also: frozenset[str] = frozenset()) -> None:
    count = 0
    for part in value.split(","):
        ends = part.split(":")
        numbers = [number for end in ends if (number := number_of(end)) is not None]
        for number in numbers:
            if number > 65535:
                raise BadFormat(f"invalid port '{number}'")
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            first, last = ends
            raise BadFormat(f"backwards range '{first}:{last}' not allowed, did you mean '{last}:{first}'?")
        plain = len(numbers) == len(ends) <= 2
        if not plain and part not in also and not _is_service(part):
            raise BadFormat(f"invalid port '{part}'")
        count += len(numbers)
    if count > 15:
        raise BadFormat("too many entries in port list (> 15 numbers)")


def _ports_or_icmp(value: str) -> None:
    _ports(value, ICMP_TYPES | ICMPV6_TYPES)


def _icmp_type(value: str) -> None:
    if value and value not in ICMP_TYPES | ICMPV6_TYPES:
        raise BadFormat(f"invalid icmp-type value '{value}'")


def _server(value: str) -> None:
    if not _is_ip(value) and not re.match(_DNS, value):
        raise BadFormat("value does not look like a valid server name or IP address")


def _cpu_set(value: str) -> None:
    for part in value.rstrip(",").split(",") if value else []:
        first, _, last = part.partition("-")
        least, most = number_of(first.strip()), number_of((last or first).strip())
        if least is None or most is None or most < least:
            raise BadFormat("unable to parse cpuset option")


_CPU_FLAGS = (
    "nested-virt, md-clear, pcid, spec-ctrl, ssbd, ibpb, virt-ssbd, amd-ssbd, amd-no-ssb, pdpe1gb, hv-tlbflush, "
    "hv-evmcs, aes"
)
_CPU_TYPE = re.compile(
    r"^(?:host|max|486|athlon|phenom|core2duo|coreduo|pentium[23]?|qemu32|qemu64|kvm32|kvm64|x86-64-v[1-4](?:-AES)?"
    r"|Broadwell|Cascadelake|Conroe|Cooperlake|EPYC|GraniteRapids|Haswell|Icelake|IvyBridge|KnightsMill|Nehalem"
    r"|Opteron_G|Penryn|SandyBridge|SapphireRapids|SierraForest|Skylake|Westmere|ClearwaterForest)[\w\-]*$"
)


def cpu(parsed: dict[str, str]) -> None:
    """The parts of a VM's `cpu` that its property string's schema does not check. Raises BadFormat."""
    kind = parsed.get("cputype", "kvm64")
    if kind.startswith("custom-"):
        raise BadFormat(f"Custom cputype '{kind.removeprefix('custom-')}' not found")
    if not _CPU_TYPE.match(kind):
        raise BadFormat(f"Built-in cputype '{kind}' is not defined (missing 'custom-' prefix?)")
    known = _CPU_FLAGS.split(", ")
    if any(flag and flag[1:] not in known for flag in parsed.get("flags", "").split(";")):
        raise BadFormat(f"VM-specific CPU flags must be a subset of: {_CPU_FLAGS}")


CHECKS: dict[str, Check] = {
    "CIDR": _network("value does not look like a valid CIDR network"),
    "CIDRv4": _network("value does not look like a valid IPv4 network", 4),
    "CIDRv6": _network("value does not look like a valid IPv6 network", 6),
    "IPorCIDR": _loose_network,
    "IPorCIDRorAlias": _network_or_alias,
    "address": _server,
    "disk-size": _matches(r"^(\d+(\.\d+)?)([KMGT](?:iB)?)?$", "value does not look like a valid disk size: {}"),
    "dns-name": _matches(_DNS, "value does not look like a valid DNS name"),
    "email": _matches(
        r"^[\w+\-~]+(\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*$",
        "value does not look like a valid email address",
    ),
    "email-or-username": _matches(
        r"^[\w+\-~]+(\.[\w+\-~]+)*(@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*)?$",
        "value does not look like a valid email address or user name",
    ),
    "ip": _address("value does not look like a valid IP address"),
    "ipv4": _address("value does not look like a valid IPv4 address", 4),
    "ipv6": _address("value does not look like a valid IPv6 address", 6),
    "lxc-ip-with-ll-iface": _address("value does not look like a valid IP address"),
    "mac-addr": _matches(
        r"(?i)^[a-f0-9][02468ace](?::[a-f0-9]{2}){5}$", "value does not look like a valid unicast MAC address"
    ),
    "mac-prefix": _matches(
        r"(?i)^[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}(?::[a-f0-9]?)?$",
        "value is not a valid unicast MAC address prefix",
    ),
    "pve-cpuset": _cpu_set,
    "pve-bridge-id": _matches(r"^[-_.\w\d]+$", "invalid bridge ID '{}'"),
    "pve-configid": _matches(r"^(?i:[a-z][a-z0-9_-]+)$", "invalid configuration ID '{}'"),
    "pve-day-of-week": _matches(r"^(mon|tue|wed|thu|fri|sat|sun)$", "invalid day '{}'"),
    "pve-fw-addr-spec": _firewall_address,
    "pve-fw-dport-spec": _ports_or_icmp,
    "pve-fw-icmp-type-spec": _icmp_type,
    "pve-fw-protocol-spec": _protocol,
    "pve-fw-sport-spec": _ports,
    "pve-groupid": _matches(r"^[A-Za-z0-9.\-_]+$", "group name '{}' contains invalid characters"),
    "pve-hotplug-features": _hotplug,
    "pve-iface": _matches(r"(?i)^[a-z][a-z0-9_]{1,20}([:.]\d+)?$", "invalid network interface name '{}'"),
    "pve-ipv4-config": _network("value does not look like a valid ipv4 network configuration", 4, "dhcp", "manual"),
    "pve-ipv6-config": _network(
        "value does not look like a valid ipv6 network configuration", 6, "auto", "dhcp", "manual"
    ),
    "pve-lxc-dev-string": _device_path,
    "pve-lxc-mp-string": _mount_path,
    "pve-node": _matches(r"^([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)$", "value does not look like a valid node name"),
    "pve-poolid": _pool_id,
    "pve-priv": _privilege,
    "pve-qm-bootdev": _boot_device,
    "pve-realm": _matches(r"^[A-Za-z][A-Za-z0-9.\-_]+$", "value does not look like a valid realm"),
    "pve-roleid": _matches(r"^[A-Za-z0-9.\-_]+$", "role name '{}' contains invalid characters"),
    "pve-startup-order": _startup,
    "pve-storage-content": _content,
    "pve-storage-id": _storage_id,
    "pve-storage-path": _matches(r"^/[^;()]+$", "value does not look like a valid absolute path"),
    "pve-storage-server": _server,
    "pve-storage-vgname": _matches(
        r"(?i)^[a-z0-9][a-z0-9\-_.]*[a-z0-9]$", "lvm volume group name '{}' contains illegal characters"
    ),
    "pve-tag": _matches(_TAG, "invalid characters in tag"),
    "pve-task-status-type": _matches(r"(?i)^(ok|error|warning|unknown)$", "invalid status '{}'"),
    "pve-tokenid": _matches(
        r"^([^\s:/]+)@([A-Za-z][A-Za-z0-9.\-_]+)!([A-Za-z][A-Za-z0-9.\-_]+)$",
        "value '{}' does not look like a valid token ID",
    ),
    "pve-userid": _user_id,
    "pve-vmid": _matches(r"^[1-9][0-9]{2,8}$", "value does not look like a valid VM ID"),
    "pve-volume-id": _volume_id,
    "pve-volume-id-or-absolute-path": _volume_or_path,
    "pve-volume-id-or-qm-path": _drive_volume,
    "pve-ct-timezone": _timezone,
    "urlencoded": _urlencoded,
}
