"""10,000 creations at the same moment against a quota of 500 guests: 500 are accepted, and not one more (L23).

Four client processes hold 2,500 connections each to one web process of its own; all are open before the first request
is sent, and all requests are sent before the first answer is read. The ledger is read all the time, and compared with
guests, operations and PVE's calls at the end.
"""

from __future__ import annotations

import multiprocessing
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

from app.db import quota
from app.db.session import Database
from app.domain.quota import Dimension
from bench.creation import until_all_is_done
from bench.house import House, free_ports, running_house, wait_until
from bench.load import Client
from bench.people import make_member, make_tenant
from bench.results import Result

_ATTEMPTS, _ROOM, _PROCESSES, _PATIENCE = 10_000, 500, 4, 900.0
_ACCEPTED = "accepted"
_REFUSED = "refused: quota.exceeded, guests"


def run() -> list[Result]:
    with running_house() as house:
        house.start_worker()
        admin = house.login()
        tenant = make_tenant(admin)
        limited = admin.ask("PUT", f"/api/tenants/{tenant['id']}/quota", {"guests": _ROOM})
        assert limited.status == 200, limited.body
        tokens = [str(make_member(house, admin, tenant).token) for _ in range(_PROCESSES)]
        urls = [house.url, *_more_web_processes(house, _PROCESSES - 1)]
        house.forget_pve_calls()
        with _looking_at(house, tenant["id"]) as looks:
            began = time.monotonic()
            answers = _attempts(urls, tokens)
            seconds = time.monotonic() - began
            admin.close()  # the server has ended it meanwhile: nothing was said for too long
            until_all_is_done(admin)
        made = sum(call["method"] == "POST" and call["path"].endswith("/lxc") for call in house.pve_calls())
        usage = admin.ask("GET", f"/api/tenants/{tenant['id']}").json()["usage"]
        listed = admin.ask("GET", f"/api/proxmox/cts?tenant={tenant['id']}&limit=1").json()["count"]
    print(f"  answers           {dict(answers)}")
    print(f"  ledger at the end {usage}")
    print(f"  ledger in between at most {max(looks)} guests in {len(looks)} looks")
    print(f"  guests            {listed} listed, {made} made by PVE")
    assert answers.keys() == {_ACCEPTED, _REFUSED}, answers
    assert {answers[_ACCEPTED], usage["guests"], listed, made} == {_ROOM}
    over = max(max(looks), answers[_ACCEPTED]) - _ROOM
    return [
        Result(f"quota: accepted of {_ATTEMPTS:,} at once", answers[_ACCEPTED], "guests", _ROOM),
        Result("quota: most that was over the limit", over, "guests"),
        Result(f"quota: decisions on {_ATTEMPTS:,} at once", round(_ATTEMPTS / seconds, 1), "decisions/s"),
    ]


def _attempts(urls: Sequence[str], tokens: Sequence[str]) -> Counter[str]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as shared, ProcessPoolExecutor(len(urls), mp_context=context) as processes:
        line = shared.Barrier(len(urls))
        running = [processes.submit(_clients, url, token, line) for url, token in zip(urls, tokens, strict=True)]
        return sum((done.result() for done in running), Counter())


def _clients(url: str, token: str, line: threading.Barrier) -> Counter[str]:
    """One process: connect all, wait for the other processes, send all, read all."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = [Client(url, token, timeout=_PATIENCE) for _ in range(_ATTEMPTS // _PROCESSES)]
    for client in clients:
        client.connect()
    body = {"name": "wanted", "template": "debian-12", "memory": 64, "swap": 0, "disk_gb": 1}
    request = clients[0].request("POST", "/api/proxmox/cts", body)
    line.wait(_PATIENCE)
    for client in clients:
        client.begin(request)
    found: Counter[str] = Counter()
    for client in clients:
        answer = client.end()
        client.close()
        told = answer.json()
        if answer.status == 202:
            found[_ACCEPTED] += 1
        elif (answer.status, told.get("code"), told.get("dimension"), told.get("used")) == (
            403, "quota.exceeded", Dimension.GUESTS, _ROOM,
        ):  # fmt: skip
            found[_REFUSED] += 1
        else:
            found[f"{answer.status} {answer.body[:200].decode(errors='replace')}"] += 1
    return found


def _more_web_processes(house: House, count: int) -> list[str]:
    urls = []
    for number, port in enumerate(free_ports(count)):
        web = house.start(
            f"web-{number}", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app", POOLHOUSE_PORT=str(port)
        )
        urls.append(f"http://127.0.0.1:{port}")
        wait_until(partial(_answers, urls[-1]), "web answers", web)
    return urls


def _answers(url: str) -> bool:
    return Client(url).ask("GET", "/api/health").status == 200


@contextmanager
def _looking_at(house: House, tenant: str) -> Iterator[list[int]]:
    """What the ledger says, all the time."""
    looks: list[int] = []
    ended = threading.Event()
    db = Database(house.settings.database_url, pool_size=1)

    def look() -> None:
        while not ended.wait(0.005):
            with db.read() as tx:
                looks.append(quota.used(tx, tenant)[Dimension.GUESTS])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()
        db.close()
