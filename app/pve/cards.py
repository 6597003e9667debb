"""Addresses and network cards as PVE's property strings; nothing in them may open another property."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from app.domain.errors import Invalid
from app.domain.guests import GuestKind, Network, NetworkChange
from app.domain.identifiers import BridgeName

_VLAN = range(1, 4095)


def container_card(net: Network) -> str | None:
    """`net0` of a container; None without a bridge."""
    if net.bridge is None:
        return None
    address = address_properties(net.ip, net.gw)
    return ",".join(["name=eth0", f"bridge={BridgeName.parse(net.bridge)}", *address, *_limits(net)])


def vm_card(net: Network) -> str | None:
    """`net0` of a VM; PVE makes up the MAC."""
    if net.bridge is None:
        return None
    return ",".join(["virtio", f"bridge={BridgeName.parse(net.bridge)}", *_limits(net)])


def changed_card(card: str, kind: GuestKind, change: NetworkChange) -> str:
    """The card as it is with what the change names; its MAC and all else stay. `card` is empty where there is none."""
    fresh = "name=eth0,firewall=1,ip=dhcp" if kind == GuestKind.CT else "virtio,firewall=1"
    properties = dict(part.partition("=")[::2] for part in (card or fresh).split(","))
    if change.bridge is not None:
        properties["bridge"] = BridgeName.parse(change.bridge)
    if "bridge" not in properties:
        # a card without one would be on the node's own network
        raise Invalid({"net": {"bridge": ["must be named: the guest has no network card"]}})
    if change.ip is not None:
        for name in ("ip", "gw", "ip6", "gw6"):
            properties.pop(name, None)
        properties |= dict(part.split("=", 1) for part in address_properties(change.ip, change.gw))
    for name, value in (("tag", change.vlan), ("rate", change.rate)):
        if value == 0:
            properties.pop(name, None)
        elif value is not None:
            properties[name] = _number(value)
    return ",".join(f"{name}={value}" if value else name for name, value in properties.items())


def guarded_cards(options: Mapping[str, str]) -> Mapping[str, tuple[str, str]]:
    """Of a config's cards those without PVE's firewall: as they are, and with it."""
    found = {}
    for name, card in options.items():
        properties = card.split(",")
        if re.fullmatch(r"net\d+", name, re.ASCII) and "firewall=1" not in properties:
            kept = [part for part in properties if not part.startswith("firewall=")]
            found[name] = card, ",".join([*kept, "firewall=1"])
    return found


def address_properties(ip: str, gw: str | None) -> list[str]:
    """`ip=`, `gw=`, or `ip6=`, `gw6=` for an address of version 6. `ip` is dhcp, manual or a CIDR."""
    if ip in ("dhcp", "manual"):
        return [f"ip={ip}"]
    if "/" not in ip:
        raise Invalid({"net": {"ip": ["must be dhcp or an address with its prefix length"]}})
    try:
        interface = ipaddress.ip_interface(ip)
        gateway = ipaddress.ip_address(gw) if gw is not None else None
    except ValueError:
        raise Invalid({"net": {"ip": ["must be dhcp or an address with its prefix length"]}}) from None
    suffix = "6" if interface.version == 6 else ""
    made = [f"ip{suffix}={interface.with_prefixlen}"]
    if gateway is None:
        return made
    if gateway.version != interface.version:
        raise Invalid({"net": {"gw": ["must be of the address's version"]}})
    return [*made, f"gw{suffix}={gateway}"]


def second_address_properties(ip6: str | None, gw6: str | None) -> list[str]:
    """`ip6=` and `gw6=` beside an address of version 4. `ip6` is auto, dhcp or a CIDR."""
    if ip6 is None:
        return []
    if ip6 in ("auto", "dhcp"):
        return [f"ip6={ip6}"]
    return address_properties(ip6, gw6)


def nameservers(text: str) -> str:
    """One or more addresses, separated by blanks."""
    try:
        return " ".join(str(ipaddress.ip_address(word)) for word in text.replace(",", " ").split())
    except ValueError:
        raise Invalid({"nameserver": ["must be an address"]}) from None


def ssh_keys(keys: Iterable[str]) -> str:
    """One per line, as both kinds of guests want them. A key is a single line."""
    lines = [key.strip() for key in keys]
    if any(not line.isprintable() for line in lines):
        raise Invalid({"ssh_keys": ["must be one line each"]})
    return "\n".join(line for line in lines if line)


def _limits(net: Network) -> list[str]:
    # The card's own flag: without it a guest's firewall options have no effect in PVE.
    made = ["firewall=1"]
    if net.vlan is not None:
        if net.vlan not in _VLAN:
            raise Invalid({"net": {"vlan": ["must be 1 to 4094"]}})
        made.append(f"tag={int(net.vlan)}")
    if net.rate is not None:
        if not net.rate > 0:
            raise Invalid({"net": {"rate": ["must be more than 0"]}})
        made.append(f"rate={_number(net.rate)}")
    return made


def _number(value: float) -> str:
    """Without exponent, which PVE does not read."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
