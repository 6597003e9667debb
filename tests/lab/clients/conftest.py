"""What every foreign client is shown: a lab in the demo state with guests of both kinds, one for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.process import LabProcess, Session, running


@pytest.fixture(scope="module")
def demo_process() -> Iterator[LabProcess]:
    with running("demo", guests=8) as lab:
        yield lab


@pytest.fixture
def demo(demo_process: LabProcess) -> LabProcess:
    """Eight guests, 1000 to 1007, even ones VMs: four on each node, 1003 and 1007 stopped; and the template 9000."""
    demo_process.reset()
    return demo_process


@pytest.fixture
def admin(demo: LabProcess) -> Session:
    return demo.login()
