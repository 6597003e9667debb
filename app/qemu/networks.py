"""A tenant's network on this host: a bridge and a subnet of its own, kept apart from the host and all others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from app.qemu.machines import MacAddress, NetworkId


class Mode(StrEnum):
    """`nat`: out to the world behind the host's address. `isolated`: the network's guests among themselves."""

    NAT = "nat"
    ISOLATED = "isolated"


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True)
class Reservation:
    """The address that DHCP gives to a network card; not the network's first one, which is the host's."""

    mac: MacAddress
    address: IPv4Address


@dataclass(frozen=True)
class Forward:
    """What comes to `address`:`port` of this host goes to `guest`:`guest_port`. The kernel takes it before any program
    that listens there: give out ports of a range that is kept free for it."""

    protocol: Protocol
    address: IPv4Address
    port: int
    guest: IPv4Address
    guest_port: int


@dataclass(frozen=True)
class Network:
    """`subnet` has 4 to 65536 addresses: the first is the host's side (DHCP and DNS, nothing else answers there), the
    last is broadcast, those between are given out. Of private addresses its guests reach `reaches` alone, if anything.
    Forwards only with NAT."""

    id: NetworkId
    tenant: str
    mode: Mode
    subnet: IPv4Network
    reaches: tuple[IPv4Network, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    forwards: tuple[Forward, ...] = ()

    @property
    def gateway(self) -> IPv4Address:
        return self.subnet[1]
