"""One lab for the whole folder, reset for every test."""

from collections.abc import Iterator

import pytest

from tests.lab.guests.api import Api
from tests.lab.process import LabProcess


@pytest.fixture(scope="session")
def guests_lab() -> Iterator[LabProcess]:
    lab = LabProcess.start()
    yield lab
    lab.stop()


@pytest.fixture
def root(guests_lab: LabProcess) -> Api:
    """root@pam of a fresh lab."""
    guests_lab.control("POST", "reset")
    return Api.root(guests_lab)
