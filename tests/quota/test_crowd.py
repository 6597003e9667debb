"""64 clients of three web processes and two workers do at random what a tenant may do: never one unit over, never one
lost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from app.db.models import Operation
from app.db.session import Database
from app.domain.operations import OPEN_STATES, OperationState
from tests.house import Caller, House, container, wait_for
from tests.quota.crowd import Crowd, web_processes
from tests.quota.watch import Watch, watching
from tests.world import disorder

CLIENTS = 64
LOWER = {"guests": 10, "cores": 12, "memory": 900, "running_cores": 4}
QUOTA = {"guests": 32, "cores": 46, "memory": 3000, "disk_gb": 46, "running_cores": 24, "running_memory": 1500}
OWN_QUOTA = [{"guests": 7, "running_memory": 500}, {"cores": 11}]

#: Of the calls of all our tokens 5 % go wrong, and as many of the tasks.
FAULTS: list[dict[str, Any]] = [
    *(
        {"kind": kind, "user": "!", "path": "/(lxc|qemu|tasks)", "probability": 0.01, "seed": seed}
        for seed, kind in enumerate(("close", "lost_reply", "unreachable", "reset", "half_answer"))
    ),
    {"kind": "task_fails", "text": "the lab says no", "probability": 0.05, "seed": 5},
]


def settle(house: House) -> None:
    """All operations have ended, and none of them is stuck."""
    db = Database(house.settings.database_url)
    states = sa.select(Operation.state, sa.func.count()).group_by(Operation.state)

    def open_ones() -> dict[str, int]:
        with db.read() as tx:
            return {state: count for state, count in tx.execute(states) if state in OPEN_STATES}

    try:
        wait_for(lambda: set(open_ones()) <= {OperationState.STUCK}, within=180)
        assert open_ones() == {}
    finally:
        db.close()


def usage(house: House, tenant: str) -> dict[str, int]:
    found: dict[str, int] = house.admin().get(f"/tenants/{tenant}").get_json()["usage"]
    return found


def members_with_limits(house: House, tenant: dict[str, Any]) -> list[Caller]:
    members = [house.make_member(tenant) for _ in range(4)]
    for member, limits in zip(members, OWN_QUOTA, strict=False):
        user = member.get("/auth/me").get_json()["id"]
        assert house.admin().put(f"/tenants/{tenant['id']}/quota?user={user}", limits).status_code == 200
    return members


def rage(house: House, tenant: str, crowd: Crowd, requests_each: int, faults: list[dict[str, Any]]) -> None:
    crowd.pve_fails = bool(faults)
    with watching(house.settings.database_url, tenant) as watch, ExitStack() as weather:
        for rule in faults:
            weather.enter_context(house.pve.fault(**rule))
        with moody_admin(house, tenant, watch):
            crowd.rage(CLIENTS, requests_each)
        settle(house)
    assert crowd.strange == []
    assert disorder(house) == []


@contextmanager
def moody_admin(house: House, tenant: str, watch: Watch) -> Iterator[None]:
    """The limits go down, below what is used, and up again all the time; at the end they are up."""
    admin = house.admin()
    ended = threading.Event()

    def put(limits: dict[str, int]) -> None:
        assert admin.put(f"/tenants/{tenant}/quota", limits).status_code == 200

    def change() -> None:
        for limits in itertools.cycle([QUOTA] * 3 + [LOWER]):
            if ended.wait(0.5):
                return
            watch.change_limits(partial(put, limits))

    with ThreadPoolExecutor(1) as moods:
        changing = moods.submit(change)
        yield
        ended.set()
        changing.result()
    watch.change_limits(partial(put, QUOTA))


def empty(house: House, tenant: str, member: Caller) -> None:
    """Everything goes, and with it the last unit."""
    for kind in ("cts", "vms"):
        for guest in member.get(f"/proxmox/{kind}?limit=1000").get_json()["data"]:
            assert member.delete(f"/proxmox/{kind}/{guest['id']}?force=true").status_code == 202
    settle(house)
    assert disorder(house) == []
    assert set(usage(house, tenant).values()) == {0}


@pytest.mark.parametrize(
    "requests_each",
    [
        pytest.param(3, marks=pytest.mark.timeout(600)),
        pytest.param(40, marks=[pytest.mark.matrix, pytest.mark.timeout(3600)]),
    ],
)
def test_l23_a_raging_crowd_never_gets_one_unit_over_and_loses_none(crowded_house: House, requests_each: int) -> None:
    house = crowded_house
    tenant = house.make_tenant(QUOTA)
    members = members_with_limits(house, tenant)
    with web_processes(house, 3) as urls:
        crowd = Crowd(urls, members)
        for faults in ([], FAULTS):
            rage(house, tenant["id"], crowd, requests_each, faults)
    empty(house, tenant["id"], members[-1])
    answers = [members[-1].post("/proxmox/cts", container(memory=64)) for _ in range(QUOTA["guests"] + 3)]
    assert [answer.status_code for answer in answers].count(202) == QUOTA["guests"]
    settle(house)
    assert usage(house, tenant["id"])["guests"] == QUOTA["guests"]
