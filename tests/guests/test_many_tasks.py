"""PVE is asked for tasks by node, not by operation."""

from __future__ import annotations

from app import bootstrap
from app.domain.identifiers import Upid
from app.sagas.tasks import PveTasks
from tests.house import House, container


def test_how_many_tasks_ended_costs_a_few_calls(house: House) -> None:
    member = house.make_member(house.make_tenant())
    done = [member.done("POST", "/proxmox/cts", container()) for _ in range(6)]
    upids = {step["upid"]: one["id"] for one in done for step in one["steps"] if step["upid"]}
    built = bootstrap.build(house.settings)
    mark = house.pve.mark()
    ends = PveTasks(built.db, built.credentials).ended(upids)
    assert ends == {upid: {"ok": True, "again": False, "problem": None} for upid in upids}
    nodes = {Upid.parse(upid).node for upid in upids}
    assert len(upids) >= 6
    assert len([call for call in house.pve.calls(mark) if "/tasks" in call["path"]]) <= 2 * len(nodes)
    built.db.close()
