"""One tenant's 200 containers do not delay another's first one (L116), nor the requests of anybody else."""

from __future__ import annotations

import statistics
import time

from bench.creation import until_all_is_done
from bench.house import running_house
from bench.load import Client
from bench.people import make_member, make_tenant
from bench.results import Result

_CROWD = 200
_TRIES = 5


def run() -> list[Result]:
    with running_house() as house:
        house.start_worker()
        admin = house.login()
        greedy, modest = (make_member(house, admin, make_tenant(admin)) for _ in range(2))
        alone = statistics.median(_seconds_to_create(modest, f"alone-{n}") for n in range(_TRIES))
        for number in range(_CROWD):
            answer = greedy.ask("POST", "/api/proxmox/cts", _container(f"crowd-{number}"))
            assert answer.status == 202, answer.body
        beside = _seconds_to_create(modest, "beside")
        until_all_is_done(admin)
    return [Result(f"create beside {_CROWD} of another tenant", round(beside, 3), "s", round(alone, 3))]


def _seconds_to_create(client: Client, name: str) -> float:
    began = time.monotonic()
    answer = client.ask("POST", "/api/proxmox/cts", _container(name), Prefer="wait=100")
    assert answer.status in (200, 201), answer.body
    assert answer.json()["state"] == "succeeded", answer.body
    return time.monotonic() - began


def _container(name: str) -> dict[str, object]:
    return {"name": name, "template": "debian-12", "memory": 64, "swap": 0, "disk_gb": 1}
