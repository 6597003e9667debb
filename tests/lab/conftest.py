"""A lab for the whole module, back at its start before every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.process import LabProcess, Session, running


@pytest.fixture(scope="module")
def lab_process() -> Iterator[LabProcess]:
    with running() as lab:
        yield lab


@pytest.fixture
def lab(lab_process: LabProcess) -> LabProcess:
    lab_process.control("PUT", "clock", {"time_scale": 0})
    lab_process.reset()
    return lab_process


@pytest.fixture
def root(lab: LabProcess) -> Session:
    return lab.login()
