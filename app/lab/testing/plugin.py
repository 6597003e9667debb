"""pytest fixtures: `pve_lab` is a lab that is back at its start before every test.

A project's `conftest.py` may override `pve_lab_options`, which are the arguments of `PveLab.start`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.lab.testing.process import PveLab


@pytest.fixture(scope="session")
def pve_lab_options() -> dict[str, Any]:
    """How the lab is started: `{"state": "demo", "guests": 20}`."""
    return {}


@pytest.fixture(scope="session")
def pve_lab_process(pve_lab_options: dict[str, Any]) -> Iterator[PveLab]:
    """One lab for all tests of a run."""
    with PveLab.start(**pve_lab_options) as lab:
        yield lab


@pytest.fixture
def pve_lab(pve_lab_process: PveLab, pve_lab_options: dict[str, Any]) -> PveLab:
    """A Proxmox VE cluster at its start: `url`, `ca_file`, `password` of root@pam, and all that can go wrong."""
    pve_lab_process.reset()
    pve_lab_process.run_time(pve_lab_options.get("time_scale", 0))
    return pve_lab_process
