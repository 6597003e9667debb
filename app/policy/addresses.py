"""Where we connect to for somebody: to the world, or to his own guest, and not to what stands around us."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Net = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IPv6 addresses that stand for IPv4 ones (RFC 6052): what they lead to is the address in their last four bytes.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def may_be_reached(address: str, exceptions: Sequence[str] = ()) -> bool:
    """Whether an address is public: not private, loopback, link-local, shared, reserved or multicast, and none of these
    in disguise. `exceptions` are networks that may be reached all the same, as `10.1.0.0/16`."""
    try:
        found = _plain(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(found in ipaddress.ip_network(network) for network in exceptions):
        return True
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def of_guest(own: Sequence[str], networks: Sequence[str]) -> list[str]:
    """Of a guest's own addresses, each once, those that we may connect to for it.

    What is its own the guest itself says: so it may say that the hypervisor's address is, and only a network that the
    operator gave to guests is believed to have guests alone in it.
    """
    return [address for address in dict.fromkeys(own) if may_be_reached(address, networks)]


def is_address(host: str) -> bool:
    """Whether a host is named by its address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address
