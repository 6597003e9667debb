#!/usr/bin/python3
"""libvirt's hook for networks: guards those that Poolhouse made, with a table of nftables each.

Installed by `make qemu` as /etc/libvirt/hooks/network.d/poolhouse and run there as root, by the system's Python, so it
uses the standard library alone and believes nothing that it has not parsed. libvirt calls it with the network's name,
what happens and when, and the network's XML on standard input (https://libvirt.org/hooks.html); a network whose hook
fails does not start.

Guests of a guarded network reach of this host DHCP and, at the network's own gateway, DNS; they reach neither other
networks of Poolhouse nor private addresses, but for those in the mark's `reaches`; nothing reaches them unasked, but
through a forward. With NAT they go out behind the host's address. What stands is told in /run/poolhouse/<bridge>, which
is how Poolhouse knows that the hook works.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from xml.etree import ElementTree as ET

MARK = "{urn:poolhouse:mark:1}network"
TOLD = Path("/run/poolhouse")

#: Special-purpose addresses (RFC 6890) that are not the open internet's, and multicast.
PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
)  # fmt: skip

_BRIDGE = re.compile(r"ph[0-9a-f]{10}", re.ASCII)
_FORWARD = re.compile(r"(tcp|udp)\.([0-9.]+)\.([0-9]{1,5})\.forward", re.ASCII)


@dataclass(frozen=True)
class Forward:
    protocol: str
    address: IPv4Address
    port: int
    guest: IPv4Address
    guest_port: int


@dataclass(frozen=True)
class Guarded:
    bridge: str
    host: IPv4Interface
    nat: bool
    reaches: tuple[IPv4Network, ...]
    forwards: tuple[Forward, ...]

    @property
    def table(self) -> str:
        return f"poolhouse_{self.bridge}"


def read(xml: str) -> Guarded | None:
    """None for a network without our mark. Raises ValueError for one of ours that is not as we make them."""
    root = ET.fromstring(xml)  # noqa: S314  # libvirt's own words
    network = root if root.tag == "network" else root.find("network")
    mark = None if network is None else network.find(f"./metadata/{MARK}")
    if network is None or mark is None:
        return None
    bridge, address = network.find("bridge"), network.find("ip")
    if bridge is None or address is None or not _BRIDGE.fullmatch(bridge.get("name", "")):
        raise ValueError("a network of Poolhouse without its bridge or address")
    return Guarded(
        bridge=bridge.get("name", ""),
        host=IPv4Interface(f"{address.get('address')}/{address.get('prefix')}"),
        nat=mark.get("mode") == "nat",
        reaches=tuple(map(IPv4Network, mark.get("reaches", "").split())),
        forwards=tuple(_forward(record) for record in network.iterfind("./dns/txt")),
    )


def _forward(record: ET.Element) -> Forward:
    name = _FORWARD.fullmatch(record.get("name", ""))
    guest, _, port = record.get("value", "").partition(":")
    if name is None:
        raise ValueError("a TXT record that is no forward")
    return Forward(name[1], IPv4Address(name[2]), _port(name[3]), IPv4Address(guest), _port(port))


def _port(text: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise ValueError("not a port")
    return int(text)


def rules(it: Guarded) -> str:
    """For `nft -f`: the table anew, in one transaction.

    Its chains come before the others' of the same hook: what they drop is dropped, what they accept is still asked of
    the others.
    """
    bridge, subnet, gateway = it.bridge, it.host.network, it.host.ip
    to_host = [f"ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport 53 accept", "udp dport 67 accept"]
    out = [f"ip daddr {{ {', '.join(map(str, it.reaches))} }} accept"] if it.reaches else []
    out += [f"ip daddr {{ {', '.join(PRIVATE)} }} drop", "accept"]
    translated = [
        f"ip daddr {one.address} {one.protocol} dport {one.port} dnat ip to {one.guest}:{one.guest_port}"
        for one in it.forwards
    ]
    chains = {
        # With route_localnet a guest could else speak to 127.0.0.1.
        "early": ["type filter hook prerouting priority raw; policy accept;",
                  f'iifname "{bridge}" ip daddr 127.0.0.0/8 drop'],
        "input": ["type filter hook input priority filter - 5; policy accept;",
                  f'iifname "{bridge}" jump to_host'],
        "to_host": ["ct state established,related accept", *to_host, "drop"],
        "forward": ["type filter hook forward priority filter - 5; policy accept;",
                    f'iifname "{bridge}" oifname "{bridge}" accept',
                    f'iifname "{bridge}" jump from_guests',
                    f'oifname "{bridge}" jump to_guests'],
        "from_guests": ["ct state established,related accept",
                        "meta nfproto != ipv4 drop", f"ip saddr != {subnet} drop",
                        *(out if it.nat else ["drop"])],
        "to_guests": ["ct state established,related accept", "ct status dnat accept", "drop"],
    }  # fmt: skip
    if it.nat:
        chains |= {
            "incoming": ["type nat hook prerouting priority dstnat; policy accept;",
                         'iifname "ph*" accept', *translated],
            "local": ["type nat hook output priority -100; policy accept;", *translated],
            "outgoing": ["type nat hook postrouting priority srcnat; policy accept;",
                         f'ip saddr {subnet} oifname != "{bridge}" masquerade',
                         f'ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade'],
        }  # fmt: skip
    bodies = "\n".join(f"  chain {name} {{\n    " + "\n    ".join(lines) + "\n  }" for name, lines in chains.items())
    return f"table inet {it.table}\ndelete table inet {it.table}\ntable inet {it.table} {{\n{bodies}\n}}\n"


def told(it: Guarded) -> str:
    """A line for what stands: its kind and addresses, then each forward, sorted."""
    head = f"{'nat' if it.nat else 'isolated'} {it.host} {' '.join(map(str, it.reaches))}".rstrip()
    lines = [f"{one.protocol} {one.address}:{one.port} {one.guest}:{one.guest_port}" for one in it.forwards]
    return "\n".join([head, *sorted(lines)]) + "\n"


def guard(it: Guarded) -> None:
    # A forward of 127.0.0.1: the kernel else lets nothing of that address leave the host.
    loopback = any(one.address.is_loopback for one in it.forwards)
    Path(f"/proc/sys/net/ipv4/conf/{it.bridge}/route_localnet").write_text("1" if loopback else "0")
    _load(rules(it))
    TOLD.mkdir(mode=0o755, exist_ok=True)
    draft = TOLD / f".{it.bridge}"
    draft.write_text(told(it))
    draft.chmod(0o644)
    draft.rename(TOLD / it.bridge)


def release(it: Guarded) -> None:
    (TOLD / it.bridge).unlink(missing_ok=True)
    _load(f"table inet {it.table}\ndelete table inet {it.table}\n")


def _load(script: str) -> None:
    subprocess.run(["/usr/sbin/nft", "-f", "-"], input=script, text=True, check=True, env={})


def main(_name: str, operation: str, *_more: str) -> int:
    if operation not in ("started", "updated", "stopped"):
        return 0
    it = read(sys.stdin.read())
    if it is not None:
        release(it) if operation == "stopped" else guard(it)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
