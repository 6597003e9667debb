from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House
from tests.lab.process import LabProcess


@pytest.fixture
def crowded_house(tmp_path: Path, empty_database_url: str) -> Iterator[House]:
    """A house of the test's own with two workers, on SQLite and on PostgreSQL."""
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path / "house", lab, database_url=empty_database_url)
    for _ in range(2):
        house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()
