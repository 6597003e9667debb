"""A worker that was too slow is declared dead, and what it does afterwards is lost on nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import bootstrap
from app.db.models import Worker
from app.domain.access import Caller, Context, UserRole
from app.domain.guests import GuestKind
from tests.house import House, container, wait_for
from tests.lab.process import LabProcess


@pytest.fixture
def own_house(tmp_path: Path) -> Iterator[House]:
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path / "house", lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


def test_what_a_dead_worker_still_takes_from_the_queue_is_done_by_another(own_house: House) -> None:
    """L39. It was stopped, or just slow: its work is taken over, and then it asks the queue for more."""
    house = own_house
    admin = house.admin()
    tenant = house.make_tenant()
    guest = admin.done("POST", "/proxmox/cts", container(tenant=tenant["id"]))["result"]["guest"]
    built = bootstrap.build(house.settings)
    with built.db.read() as tx:
        slow = tx.scalars(sa.select(Worker.id)).one()
    house.kill_worker(house.workers[0])
    house.start_worker()
    logs = list(house.state_dir.glob("*.log"))
    wait_for(lambda: any("worker.took_over" in log.read_text() for log in logs), within=30)
    user = admin.get("/auth/me").get_json()["id"]
    ctx = Context(Caller(user, "admin", UserRole.ADMIN, "session"), {}, "request", "127.0.0.1")
    with built.db.begin() as tx:
        operation = built.services.guests.start(ctx, GuestKind.CT, guest["id"])
        taken = "UPDATE workflow_status SET status = 'PENDING', executor_id = :slow WHERE workflow_uuid = :workflow"
        tx.execute(sa.text(taken), {"slow": slow, "workflow": operation.id})
    built.db.close()
    wait_for(lambda: admin.get(f"/operations/{operation.id}").get_json()["state"] == "succeeded", within=60)
