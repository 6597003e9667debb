"""Lists, searches and filters over 10,000 of a tenant's containers, in process, on SQLite."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.listing import GUESTS, fill
from bench.results import Result, quantile
from tests.house import Caller, House
from tests.lab.process import LabProcess

_REQUESTS = 300
_LIMIT_MS = 30
_SEARCHES = {
    "a page": "limit=100",
    "a page, by name backwards": "limit=100&sort=-name",
    "a part of a name": "limit=100&name=ct-777",
    "a tag": "limit=100&tag=group-7",
    "a tag that nothing has": "limit=100&tag=nothing",
    "a state and a node": "limit=100&status=running&node=pve1",
}


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="poolhouse-bench-") as folder, LabProcess.start("demo") as lab:
        house = House.start(Path(folder), lab, POOLHOUSE_LOG_LEVEL="warning")
        worker = house.start_worker()
        house.wait_ready()
        tenant = house.make_tenant()
        member = house.make_member(tenant)
        house.kill_worker(worker)  # its refresher would find that these containers are not in PVE
        fill(house.settings.database_url, tenant["id"])
        for name, query in _SEARCHES.items():
            yield Result(f"search {GUESTS} guests: {name}, p99", _p99(member, f"/proxmox/cts?{query}"), "ms", _LIMIT_MS)
        yield Result(f"search {GUESTS} guests: page after page, p99", _p99_of_pages(member), "ms", _LIMIT_MS)
        house.stop()


def _p99(member: Caller, path: str) -> float:
    latencies: list[float] = []
    for _ in range(_REQUESTS):
        began = time.perf_counter()
        answer = member.get(path)
        latencies.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.get_data(as_text=True)
    return round(1000 * quantile(latencies, 0.99), 2)


def _p99_of_pages(member: Caller) -> float:
    latencies: list[float] = []
    cursor = ""
    while len(latencies) < GUESTS // 100:
        began = time.perf_counter()
        page = member.get(f"/proxmox/cts?limit=100{cursor}").get_json()
        latencies.append(time.perf_counter() - began)
        cursor = f"&cursor={page['next']}"
    assert page["next"] is None
    return round(1000 * quantile(latencies, 0.99), 2)
