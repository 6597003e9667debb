"""Listing 100 of a tenant's 10,000 containers, against a bare Flask route with the same bytes on the same server.

Both run under deploy/gunicorn.conf.py, one after the other in turns, so that what else this machine does hits both.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.db.models import Guest, GuestTag, Tenant, User
from app.db.models.guests import write_document
from app.db.session import Database
from bench.house import House, free_ports, running_house, wait_until
from bench.load import Client, Outcome, closed_loop
from bench.people import make_member, make_tenant
from bench.results import Result, quantile

GUESTS = 10_000
PAGE = "/api/proxmox/cts?limit=100"
_CLIENTS = 8
_ROUNDS = 4
_SECONDS = 4.0


def run() -> list[Result]:
    with running_house() as house:
        worker = house.start_worker()
        admin = house.login()
        tenant = make_tenant(admin)
        member = make_member(house, admin, tenant)
        house.end(worker)  # its refresher reads PVE by the clock; here any call to PVE is a mistake
        fill(house.settings.database_url, tenant["id"])
        listed = member.ask("GET", PAGE)
        assert listed.status == 200, listed.body
        page = listed.json()
        assert (len(page["data"]), page["count"]) == (100, GUESTS)
        return _measure(house, member, listed.body)


def _measure(house: House, member: Client, body: bytes) -> list[Result]:
    (house.folder / "body.json").write_bytes(body)
    (port,) = free_ports(1)
    bare = house.start(
        "bare", "gunicorn", "-c", "deploy/gunicorn.conf.py", "bench.bare:app",
        POOLHOUSE_PORT=str(port), BENCH_BODY=str(house.folder / "body.json"),
    )  # fmt: skip
    ours = [Client(house.url, member.token) for _ in range(_CLIENTS)]
    theirs = [Client(f"http://127.0.0.1:{port}") for _ in range(_CLIENTS)]
    wait_until(lambda: theirs[0].ask("GET", "/bare").body == body, "the bare route answers", bare)
    _rounds(ours, theirs, rounds=1, seconds=1.0)
    house.forget_pve_calls()
    listing, compared = _rounds(ours, theirs, rounds=_ROUNDS, seconds=_SECONDS)
    calls = house.pve_calls()
    assert not listing.others, listing.others
    return [
        Result("list 100 of 10,000 guests", round(listing.per_second, 1), "requests/s", round(compared.per_second, 1)),
        Result(
            "list 100 of 10,000 guests, p99",
            round(1000 * quantile(listing.latencies, 0.99), 2),
            "ms",
            round(1000 * quantile(compared.latencies, 0.99), 2),
        ),
        Result("list 100 of 10,000 guests, PVE calls", len(calls), "calls"),
    ]


def _rounds(ours: list[Client], theirs: list[Client], *, rounds: int, seconds: float) -> tuple[Outcome, Outcome]:
    """The listing's outcome and the bare route's."""
    request, bare = ours[0].request("GET", PAGE), theirs[0].request("GET", "/bare")
    totals = Outcome(), Outcome()
    for _ in range(rounds):
        for total, clients, sent in ((totals[0], ours, request), (totals[1], theirs, bare)):
            outcome = closed_loop(clients, sent, seconds)
            total.seconds += outcome.seconds
            total.latencies += outcome.latencies
            total.others += outcome.others
    return totals


def fill(database_url: str, tenant: str) -> None:
    """Rows as services and sagas leave them; making 10,000 containers one by one would take half an hour."""
    db = Database(database_url)
    with db.begin() as tx:
        of = tx.get_one(Tenant, tenant)
        maker = tx.scalars(sa.select(User.id).limit(1)).one()
        rows = [_guest(of, number, maker) for number in range(GUESTS)]
        tx.execute(sa.insert(Guest), rows)
        tags = [{"guest_id": row["id"], "tag": tag} for row in rows for tag in row["tags"]]
        tx.execute(sa.insert(GuestTag), tags)
    db.close()


def _guest(of: Tenant, number: int, maker: str) -> Mapping[str, Any]:
    row = Guest(
        id=str(uuid.uuid4()), tenant_id=of.id, cluster_id=of.cluster_id, cluster_name="lab", poolid=of.poolid,
        user_id=maker, vmid=200_000 + number, kind="ct", name=f"ct-{number}", node="pve1",
        storage="local-lvm", state="running", cores=2, memory=1024, disk_gb=8, made_from="debian-12",
        tags=["course", f"group-{number % 30}"], addresses=[f"10.0.{number // 250}.{number % 250}"], unprivileged=True,
    )  # fmt: skip
    write_document(sa.inspect(Guest), None, row)
    given = {column.key: getattr(row, column.key) for column in sa.inspect(Guest).columns}
    return {name: value for name, value in given.items() if value is not None}
