"""The web process dies at any point of a creation: all of it stands or nothing, and the same key finds out which."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import world
from tests.house import House, container, wait_for
from tests.lab.process import LabProcess


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("web"), lab)
    yield house
    house.stop()
    lab.stop()


def test_a_request_that_dies_is_whole_or_nothing(house: House) -> None:
    """L22, L50: row, quota, audit, operation, queue entry and key commit together; the key makes one guest of it."""
    worker = house.start_worker()
    house.wait_ready()
    member = house.make_member(house.make_tenant({"guests": 1000}))
    worker.terminate()
    worker.wait(30)
    house.workers.remove(worker)
    body = container()
    program = house.start_program("tests.kill.dying_request", str(member.token), "/proxmox/cts", json.dumps(body))
    assert program.wait(240) == 0
    log = next(house.state_dir.glob("tests.kill.dying_request-*.log")).read_text()
    ends = dict(line.split("\t") for line in log.splitlines() if "\t" in line)
    killed = [point for point, end in ends.items() if end == "killed"]
    assert len(killed) > 8, log
    # Only the one that died after its commit, and the last one, which lived, left anything.
    assert member.get("/proxmox/cts").get_json()["count"] == 2
    house.start_worker()
    again = [member.post("/proxmox/cts", body, Idempotency_Key=f"dies at {point}") for point in ends]
    for answer in again:
        assert answer.status_code in (200, 202), answer.get_data(as_text=True)
        where = answer.headers["Location"].removeprefix("/api")
        wait_for(lambda where=where: member.get(where).get_json()["state"] == "succeeded", within=60)
    assert member.get("/proxmox/cts").get_json()["count"] == len(ends)
    wait_for(lambda: not world.disorder(house), within=20)
