"""While passwords are checked, which takes a processor's time on purpose, others keep their latency (L114)."""

from __future__ import annotations

import threading

from bench.house import ADMIN_PASSWORD, running_house
from bench.load import Client, open_loop
from bench.results import Result, quantile

_RATE = 50.0
_SECONDS = 8.0
_LOGGING_IN = 2


def run() -> list[Result]:
    with running_house() as house:
        token = house.login().token
        clients = [Client(house.url, token) for _ in range(8)]
        quiet = _latency(clients)
        ending = threading.Event()
        crowd = [threading.Thread(target=_log_in_again_and_again, args=(house.url, ending)) for _ in range(_LOGGING_IN)]
        for one in crowd:
            one.start()
        busy = _latency(clients)
        ending.set()
        for one in crowd:
            one.join()
    return [Result("GET /api/auth/me while others log in, p99", busy, "ms", quiet)]


def _latency(clients: list[Client]) -> float:
    outcome = open_loop(
        clients, lambda client, _: client.request("GET", "/api/auth/me"), rate=_RATE, seconds=_SECONDS, expect=200
    )
    assert not outcome.others, outcome.others
    return round(1000 * quantile(outcome.latencies, 0.99), 2)


def _log_in_again_and_again(url: str, ending: threading.Event) -> None:
    client = Client(url)
    request = client.request("POST", "/api/auth/login", {"username": "admin", "password": ADMIN_PASSWORD})
    while not ending.is_set():
        assert client.send(request).status == 200
