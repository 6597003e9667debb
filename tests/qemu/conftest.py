"""Real libvirt and real guests, of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.qemu import daemon
from tests.qemu.guests import build
from tests.qemu.room import Room


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[daemon.Libvirtd]:
    """Skips, with the reason, where none can be started."""
    reason = daemon.why_not()
    if reason is not None:
        pytest.skip(f"no libvirtd of our own: {reason}")
    started = daemon.Libvirtd.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def guests() -> build.Guests:
    """Skips, with the reason, where they cannot be built."""
    try:
        return build.built()
    except build.Impossible as error:
        pytest.skip(f"no guests to boot: {error}")


@pytest.fixture(scope="session")
def tiny(guests: build.Guests) -> Path:
    return guests.tiny


@pytest.fixture(scope="module")
def room(libvirtd: daemon.Libvirtd, guests: build.Guests) -> Iterator[Room]:
    """A driver, a folder of files, and machines that are gone after the test file."""
    made = Room.open(libvirtd, guests)
    yield made
    made.close()
