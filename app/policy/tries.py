"""Which of many refused tries are worth a row in a log."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from threading import Lock

FIRST = 5
WINDOW = 3600.0
_SOURCES = 10_000


class Tries:
    """Counts the tries of each source within an hour: the first five are told one by one, then only every tenth
    power, with the count. So a flood of a million leaves eleven rows, and its size is never unknown by more than that.

    Each process counts for itself.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def worth_telling(self, address: str, at: float) -> int | None:
        """The number of this try, where it is to be told; `at` in seconds on any steady clock."""
        source = network(address)
        with self._lock:
            began, count = self._counts.pop(source, (at, 0))
            if at - began >= WINDOW:
                began, count = at, 0
            self._counts[source] = (began, count + 1)
            if len(self._counts) > _SOURCES:
                self._counts.popitem(last=False)
        number = count + 1
        return number if number <= FIRST or _is_power_of_ten(number) else None


def network(address: str) -> str:
    """Who has one IPv6 address has the whole /64 (RFC 4291, section 2.5.4)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _is_power_of_ten(number: int) -> bool:
    return str(number).rstrip("0") == "1"
