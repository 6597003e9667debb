"""L21: where a URL may lead, as one table."""

from __future__ import annotations

import pytest

from app.policy.addresses import is_address, may_be_reached, of_guest

PUBLIC = ["1.1.1.1", "151.101.2.132", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
OTHERS = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2002:a00:1::", "2001:0:7f00:1::80ff:fffe", "nonsense", "", "1.1.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_the_world_may_be_reached(address: str) -> None:
    assert may_be_reached(address)


@pytest.mark.parametrize("address", OTHERS)
def test_what_stands_around_us_may_not_in_whatever_disguise(address: str) -> None:
    assert not may_be_reached(address)


def test_a_network_may_be_allowed_and_nothing_else_with_it() -> None:
    assert may_be_reached("10.1.2.3", ["10.1.0.0/16", "fd00::/8"])
    assert may_be_reached("::ffff:10.1.2.3", ["10.1.0.0/16"])
    assert may_be_reached("fd00::1", ["10.1.0.0/16", "fd00::/8"])
    assert not may_be_reached("10.2.0.1", ["10.1.0.0/16"])
    assert not may_be_reached("169.254.169.254", ["10.1.0.0/16"])


def test_of_a_guests_own_addresses_only_those_that_are_public_or_in_a_guests_network_may_be_reached() -> None:
    own = ["10.1.0.5", "169.254.169.254", "127.0.0.1", "1.1.1.1", "10.1.0.5", "10.2.0.5"]
    assert of_guest(own, ["10.1.0.0/16"]) == ["10.1.0.5", "1.1.1.1"]
    assert of_guest(own, []) == ["1.1.1.1"]


def test_an_address_is_told_from_a_name() -> None:
    assert is_address("10.0.0.1")
    assert is_address("fe80::1%eth0")
    assert not is_address("example.org")
