"""Many that want the same at once: in threads of this process, and in processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from typing import TypeVar

from app.db import quota, tenants
from app.db.session import Database
from app.domain.errors import AppError, QuotaExceeded
from app.policy import quota as rules
from tests.db import records

T = TypeVar("T")


@dataclass(frozen=True)
class Won:
    guest: str
    vmid: int


@dataclass(frozen=True)
class Refused:
    dimension: str
    limit: int
    used: int
    requested: int


@dataclass(frozen=True)
class Failed:
    code: str


Outcome = Won | Refused | Failed


@dataclass(frozen=True)
class Wish:
    """A guest that somebody wants in a tenant; `memory` MiB, `disk_gb` GiB."""

    tenant: str
    span: tuple[int, int] = (100, 10_000)
    cores: int = 1
    memory: int = 512
    disk_gb: int = 8
    user: str | None = None


def create(db: Database, wish: Wish) -> Outcome:
    """One creation as a service does it: lock, check, number, row and allocations in one transaction."""
    demand = rules.of_guest(cores=wish.cores, memory=wish.memory, disk_gb=wish.disk_gb)
    try:
        with db.begin() as tx:
            tenant = tenants.lock(tx, wish.tenant)
            rules.check(quota.limits(tx, tenant.id), used=quota.used(tx, tenant.id), demand=demand)
            guest = records.charged_guest(
                tx, tenant, range(*wish.span), demand, cores=wish.cores, memory=wish.memory, disk_gb=wish.disk_gb
            )
            return Won(guest.id, guest.vmid)
    except QuotaExceeded as error:
        members = error.members
        return Refused(members["dimension"], members["limit"], members["used"], members["requested"])
    except AppError as error:
        return Failed(error.code)


def at_once(work: Sequence[Callable[[], T]]) -> list[T]:
    """Run all in threads that begin together."""
    line = Barrier(len(work))

    def run(one: Callable[[], T]) -> T:
        line.wait(60)
        return one()

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(run, work))


def create_at_once(url: str, wishes: Sequence[Wish]) -> list[Outcome]:
    """With a connection pool of its own, so that it may run in any process."""
    db = Database(url, pool_size=len(wishes))
    try:
        return at_once([partial(create, db, wish) for wish in wishes])
    finally:
        db.close()


def create_in_processes(url: str, wishes: Sequence[Sequence[Wish]]) -> list[Outcome]:
    """One process per list of wishes, one thread per wish."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(wishes), mp_context=context) as processes:
        found = processes.map(create_at_once, [url] * len(wishes), wishes)
        return [outcome for outcomes in found for outcome in outcomes]
