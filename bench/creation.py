"""`POST /api/proxmox/cts` to its 202, on SQLite, while worker and lab carry out what was accepted.

20 clients, each in a tenant of its own, send 50 requests a second; compared with the cheapest request that a logged-in
caller can make, sent as fast by the same clients. Then the rate is raised until it is not carried any more.

What it measures above all is how long writers wait for each other: SQLite has one at a time, for all threads of all
processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.house import running_house
from bench.load import Client, Outcome, open_loop
from bench.people import make_member, make_tenant
from bench.results import Result, quantile

CLIENTS = 20
RATE = 50.0
_SECONDS = 20.0
_STEP_SECONDS = 6.0
_STEPS = (50, 75, 100, 125, 150, 200, 250, 300, 400, 500)
#: A rate is carried when 99 of 100 requests are answered within this, and all with 202.
_PATIENCE = 1.0


def run() -> list[Result]:
    with running_house() as house:
        house.start_worker()
        admin = house.login()
        clients = [make_member(house, admin, make_tenant(admin)) for _ in range(CLIENTS)]
        cheapest = open_loop(clients, lambda c, _: c.request("GET", "/api/auth/me"), rate=RATE, seconds=8, expect=200)
        assert not cheapest.others, cheapest.others
        accepted = _create(clients, RATE, _SECONDS)
        assert not accepted.others, accepted.others
        seconds = until_all_is_done(admin)
        carried = _highest_rate(clients, admin)
    return [
        *(
            Result(f"create at {RATE:g}/s to 202, {name}", _ms(accepted, share), "ms", _ms(cheapest, share))
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ),
        Result("create: highest rate carried", carried, "requests/s", RATE),
        Result("create: carried out after the last 202", round(seconds, 1), "s", _SECONDS),
    ]


def _create(clients: Sequence[Client], rate: float, seconds: float) -> Outcome:
    def request(client: Client, number: int) -> bytes:
        body = {"name": f"ct-{number}", "template": "debian-12", "memory": 64, "swap": 0, "disk_gb": 1}
        return client.request("POST", "/api/proxmox/cts", body)

    return open_loop(clients, request, rate=rate, seconds=seconds, expect=202)


def _highest_rate(clients: Sequence[Client], admin: Client) -> float:
    """The highest of the steps that is carried; between two steps everything that was accepted is carried out."""
    carried = 0.0
    for rate in _STEPS:
        outcome = _create(clients, rate, _STEP_SECONDS)
        if outcome.others or quantile(outcome.latencies, 0.99) > _PATIENCE:
            break
        carried = rate
        until_all_is_done(admin)
    return carried


def until_all_is_done(admin: Client) -> float:
    """Seconds until no operation is open. Fails where one did not succeed: accepting more than can be carried out
    would be no rate."""
    began = time.monotonic()
    while any(_count(admin, state) for state in ("pending", "running", "unwinding")):
        assert time.monotonic() < began + 600, "the worker does not get done"
        time.sleep(0.5)
    for state in ("failed", "stuck"):
        assert not _count(admin, state), f"operations are {state}"
    return time.monotonic() - began


def _count(admin: Client, state: str) -> int:
    answer = admin.ask("GET", f"/api/operations?state={state}&limit=1")
    assert answer.status == 200, answer.body
    count: int = answer.json()["count"]
    return count


def _ms(outcome: Outcome, share: float) -> float:
    return round(1000 * quantile(outcome.latencies, share), 2)
