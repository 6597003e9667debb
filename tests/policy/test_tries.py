"""Refused tries: the first are told one by one, a flood in powers of ten."""

from __future__ import annotations

from app.policy import tries
from app.policy.tries import WINDOW, Tries


def test_l128_a_flood_leaves_a_few_rows_with_their_count() -> None:
    counted = Tries()
    told = [counted.worth_telling("192.0.2.1", at=0.0) for _ in range(10_000)]
    assert [number for number in told if number] == [1, 2, 3, 4, 5, 10, 100, 1000, 10_000]


def test_sources_are_counted_apart_and_anew_after_an_hour() -> None:
    counted = Tries()
    for _ in range(20):
        counted.worth_telling("192.0.2.1", at=0.0)
    assert counted.worth_telling("192.0.2.1", at=WINDOW - 1) is None
    assert counted.worth_telling("192.0.2.2", at=WINDOW - 1) == 1
    assert counted.worth_telling("192.0.2.1", at=WINDOW) == 1


def test_a_source_of_ipv6_is_its_whole_network() -> None:
    assert tries.network("2001:db8::1") == tries.network("2001:db8:0:0:ffff::2") == "2001:db8::/64"
    assert tries.network("2001:db8:0:1::1") != tries.network("2001:db8::1")
    assert tries.network("unix socket") == "unix socket"


def test_no_number_of_sources_takes_all_memory() -> None:
    counted = Tries()
    for number in range(10_100):
        counted.worth_telling(f"source {number}", at=0.0)
    assert len(counted._counts) == 10_000
    assert counted.worth_telling("source 10099", at=0.0) == 2
