"""A thousand operations in flight and their worker gone; what a saga costs; a world in which calls fail.

The API runs in this process, lab and workers are processes of their own.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.db.models import Operation, OperationStep
from app.db.session import Database
from app.domain.operations import FINAL_STATES, OperationState, StepState
from app.operations.worker import LEASE
from bench.processes import cpu_seconds, most_memory
from bench.results import Result
from tests import world
from tests.house import Caller, House, container, wait_for
from tests.lab.process import LabProcess

_IN_FLIGHT = 1000
_PER_TENANT = 16
_ALONE = 100
_STORM = 2000
_FAULTS = ("close", "lost_reply", "unreachable", "reset", "half_answer", "duplicate")
_PATIENCE = 600.0


def run() -> Iterator[Result]:
    yield from _overhead()
    yield from _adopted(takes_over=False)
    yield from _adopted(takes_over=True)
    yield from _storm()


@contextmanager
def _house(**lab: float) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="poolhouse-bench-") as folder, LabProcess.start("demo", **lab) as pve:  # type: ignore[arg-type]
        house = House.start(Path(folder), pve, POOLHOUSE_LOG_LEVEL="warning", POOLHOUSE_INVENTORY_INTERVAL="10")
        house.start_worker()
        house.wait_ready()
        try:
            yield house
        finally:
            house.stop()


# -- what a saga costs


def _overhead() -> Iterator[Result]:
    """The worker's own processor time for one container; its idle beat is taken off."""
    with _house(time_scale=0) as house:
        member = house.make_member(house.make_tenant())
        (worker,) = house.workers
        member.done("POST", "/proxmox/cts", container())
        idle = cpu_seconds(worker.pid)
        time.sleep(5)
        idle = (cpu_seconds(worker.pid) - idle) / 5
        began, spent = time.monotonic(), cpu_seconds(worker.pid)
        _submit([member], _ALONE)
        _until_ended(house, _ALONE + 1)
        spent = cpu_seconds(worker.pid) - spent - idle * (time.monotonic() - began)
    yield Result("durability: worker time of one container", round(1000 * spent / _ALONE, 1), "ms", 150)


# -- a thousand in flight


def _adopted(*, takes_over: bool) -> Iterator[Result]:
    """Starts that all wait for tasks which end while no worker lives; then a new one starts, or another goes on.

    Adopted: a living worker has looked where the operation stands. Moved: its task's end is taken up and the next step
    was begun.
    """
    with _house(time_scale=0) as house:
        members = [house.make_member(house.make_tenant()) for _ in range(-(-_IN_FLIGHT // _PER_TENANT))]
        guests = _make_guests(house, members)
        (worker,) = house.workers
        before = most_memory(worker.pid)
        house.lab.stop_time()
        for number, guest in enumerate(guests):
            assert members[number % len(members)].post(f"/proxmox/cts/{guest}/start").status_code == 202
        _until(house, lambda db: _count(db, OperationStep, OperationStep.watched) == _IN_FLIGHT)
        waiting = most_memory(worker.pid)
        idle = cpu_seconds(worker.pid)
        time.sleep(10)
        idle = (cpu_seconds(worker.pid) - idle) / 10
        dead = _executor(house)
        if takes_over:
            house.start_worker()
            time.sleep(5)
        house.kill_worker(worker)
        house.lab.run_time(0)
        began = time.monotonic()
        if not takes_over:
            house.start_worker()
        new = Operation.type == "ct.start", Operation.executor.is_not(None), Operation.executor != dead
        starts = OperationStep.operation_id.in_(sa.select(Operation.id).where(Operation.type == "ct.start"))
        adopted = _until(house, lambda db: _count(db, Operation, *new) == _IN_FLIGHT) - began
        moved = starts, OperationStep.name == "started", OperationStep.state == StepState.DONE
        first = _until(house, lambda db: _count(db, OperationStep, *moved) > 0) - began
        every = _until(house, lambda db: _count(db, OperationStep, *moved) == _IN_FLIGHT) - began
        _until_ended(house, 2 * _IN_FLIGHT)
        left = world.disorder(house)
    how = "a second worker" if takes_over else "the restart"
    limit = LEASE.total_seconds() if takes_over else 10
    if not takes_over:
        yield Result(f"durability: memory of {_IN_FLIGHT} that wait", round(waiting - before, 1), "MB", 150)
        yield Result(f"durability: processor of a worker whose {_IN_FLIGHT} wait", round(100 * idle, 1), "%")
    yield Result(f"durability: all {_IN_FLIGHT} are adopted after {how}", round(adopted, 1), "s", limit)
    yield Result(f"durability: the first has moved after {how}", round(first, 1), "s", limit)
    yield Result(f"durability: all {_IN_FLIGHT} have moved after {how}", round(every, 1), "s", limit)
    yield Result(f"durability: not in order after {how}", len(left), "things")


def _make_guests(house: House, members: Sequence[Caller]) -> list[str]:
    for number in range(_IN_FLIGHT):
        answer = members[number % len(members)].post("/proxmox/cts", container(memory=16))
        assert answer.status_code == 202, answer.get_data(as_text=True)
    _until_ended(house, _IN_FLIGHT)
    rows = [member.get("/proxmox/cts?limit=100").get_json()["data"] for member in members]
    return [rows[number % len(members)][number // len(members)]["id"] for number in range(_IN_FLIGHT)]


def _executor(house: House) -> str | None:
    db = Database(house.settings.database_url)
    with db.read() as tx:
        found = tx.scalar(sa.select(Operation.executor).where(Operation.executor.is_not(None)).limit(1))
    db.close()
    return found


# -- a world that goes wrong


def _storm() -> Iterator[Result]:
    """Containers made, started, stopped and deleted while one call in twenty fails in one of several ways."""
    chance = random.Random(20261121)
    with _house(time_scale=0) as house, ExitStack() as faults:
        members = [house.make_member(house.make_tenant({"guests": 60})) for _ in range(8)]
        for number, kind in enumerate(_FAULTS):
            faults.enter_context(house.lab.fault(kind, user="!", probability=0.05 / len(_FAULTS), seed=number))
        accepted = 0
        while accepted < _STORM:
            accepted += _anything(chance, chance.choice(members))
        _until_ended(house, accepted)
        ends = _ends(house)
        faults.close()
        wait_for(lambda: not world.disorder(house), within=60)
        left = world.disorder(house)
    yield Result("durability: operations while 5 % of PVE's calls fail", accepted, "operations")
    yield Result("durability: of these stuck", ends[OperationState.STUCK], "operations")
    yield Result("durability: of these succeeded", ends[OperationState.SUCCEEDED], "operations", accepted)
    yield Result("durability: orphans and differences of the ledger", len(left), "things")


def _anything(chance: random.Random, member: Caller) -> int:
    """One request at random; 1 where it was accepted."""
    rows = member.get("/proxmox/cts?limit=100").get_json()["data"]
    if len(rows) < 5 or chance.random() < 0.5:
        return int(member.post("/proxmox/cts", container(start=chance.random() < 0.5)).status_code == 202)
    address = f"/proxmox/cts/{chance.choice(rows)['id']}"
    method, tail = chance.choice([("POST", "/start"), ("POST", "/stop?force=true"), ("DELETE", "?force=true")])
    return int(member.send(method, address + tail).status_code == 202)


# -- what they share


def _submit(members: Sequence[Caller], count: int) -> None:
    for number in range(count):
        answer = members[number % len(members)].post("/proxmox/cts", container())
        assert answer.status_code == 202, answer.get_data(as_text=True)


def _until_ended(house: House, count: int) -> None:
    _until(house, lambda db: sum(_states(db).get(state, 0) for state in FINAL_STATES) >= count)


def _ends(house: House) -> Counter[str]:
    db = Database(house.settings.database_url)
    try:
        return _states(db)
    finally:
        db.close()


def _states(db: Database) -> Counter[str]:
    """How many guests' operations are in each state."""
    with db.read() as tx:
        of_guests = sa.select(Operation.state, sa.func.count()).where(Operation.guest_id.is_not(None))
        return Counter({str(state): count for state, count in tx.execute(of_guests.group_by(Operation.state))})


def _count(db: Database, table: type, *conditions: Any) -> int:
    with db.read() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0


def _until(house: House, true: Callable[[Database], bool]) -> float:
    """When it has become true, by the monotonic clock."""
    db = Database(house.settings.database_url)
    until = time.monotonic() + _PATIENCE
    try:
        while not true(db):
            if time.monotonic() > until:
                raise TimeoutError("The benchmark's world does not come to rest.")
            time.sleep(0.1)
        return time.monotonic()
    finally:
        db.close()
