"""The engine through its own door: submit, and read what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from app.db import operations
from app.db.models import Operation as OperationRow
from app.domain.access import EVERY_TENANT
from app.domain.errors import Busy, Conflict, PveRefused, PveUnreachable
from app.domain.identifiers import Upid
from app.domain.operations import OperationState, StepState
from app.operations import Again, Later, Trial
from app.operations.engine import UNDO_TRIES
from tests.operations.conftest import Bench

REFUSED = PveRefused("No.", upstream="no")


def names(bench: Bench) -> list[str]:
    return [entry[0] for entry in bench.world.diary]


def test_steps_are_done_in_order_and_told(bench: Bench) -> None:
    ended = bench.run()
    assert ended.state is OperationState.SUCCEEDED
    assert names(bench) == ["first", "second", "third"]
    assert [step.state for step in ended.steps] == [StepState.DONE] * 4
    assert ended.progress == 1
    assert ended.started_at is not None
    assert ended.finished_at is not None


def test_a_rolled_back_use_case_leaves_no_operation_and_no_queue_entry(bench: Bench) -> None:
    """L22: queue entry, operation and all else commit together or not at all."""
    seen: list[str] = []

    def break_off() -> None:
        with bench.db.begin():
            seen.append(bench.submit("gone").id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    (gone,) = seen
    with bench.db.read() as tx:
        assert tx.get(OperationRow, gone) is None
        queued = tx.connection().exec_driver_sql(
            "SELECT count(*) FROM workflow_status WHERE workflow_uuid = ?", (gone,)
        )
        assert queued.scalar() == 0


@pytest.mark.parametrize("failing", ["first", "second", "third"])
def test_a_refusal_unwinds_in_reverse_from_the_failing_step_itself(bench: Bench, failing: str) -> None:
    """L40, L41."""
    ended = bench.run(**{failing: [REFUSED]})
    order = ["first", "second", "third"]
    reached = order[: order.index(failing) + 1]
    assert ended.state is OperationState.FAILED
    assert names(bench) == [*reached, *(f"undo {name}" for name in reversed(reached)), "undo reserved"]
    assert ended.error is not None
    assert ended.error["code"] == "pve.refused"
    assert "no" not in ended.error["detail"].lower().split()


def test_away_is_tried_again_and_the_step_is_told_so(bench: Bench) -> None:
    ended = bench.run(second=[PveUnreachable("Away."), None])
    assert ended.state is OperationState.SUCCEEDED
    assert bench.world.diary == [("first",), ("second",), ("second", "again"), ("third",)]


def test_a_task_is_stored_and_waited_for(bench: Bench) -> None:
    """L71: done means that PVE's task ended well."""
    ended = bench.run(second=[bench.world.start_task])
    assert ended.state is OperationState.SUCCEEDED
    assert names(bench) == ["first", "second", "third"]
    upid = next(step.upid for step in ended.steps if step.name == "second")
    assert upid is not None
    assert upid.startswith("UPID:n1:")


def test_a_task_that_failed_for_a_lock_is_started_again(bench: Bench) -> None:
    """L49."""
    bench.world.tasks = 500
    first = bench.world.start_task()
    bench.world.ends[first] = {"ok": False, "again": True, "problem": {"code": "pve.locked", "detail": "Locked."}}
    ended = bench.run(second=[first, bench.world.start_task])
    assert ended.state is OperationState.SUCCEEDED
    assert names(bench).count("second") == 2


def test_a_task_that_failed_unwinds_with_its_problem(bench: Bench) -> None:
    bench.world.tasks = 600
    first = bench.world.start_task()
    bench.world.ends[first] = {"ok": False, "again": False, "problem": {"code": "pve.task_failed", "detail": "Bad."}}
    ended = bench.run(second=[first])
    assert ended.state is OperationState.FAILED
    assert ended.error == {"code": "pve.task_failed", "detail": "Bad."}


def test_a_step_may_take_many_tasks(bench: Bench) -> None:
    ended = bench.run(first=[lambda: Again(bench.world.start_task()), lambda: Again(bench.world.start_task()), None])
    assert ended.state is OperationState.SUCCEEDED
    assert names(bench) == ["first", "first", "first", "second", "third"]


def test_a_trial_that_failed_is_the_steps_own_to_judge(bench: Bench) -> None:
    bench.world.tasks = 700
    first, second = bench.world.start_task(), bench.world.start_task()
    bench.world.ends[first] = {"ok": False, "again": True, "problem": {"code": "pve.locked", "detail": "Locked."}}
    bench.world.ends[second] = {"ok": False, "again": False, "problem": {"code": "pve.task_failed", "detail": "Bad."}}
    ended = bench.run(second=[Trial(first), Trial(second), lambda: Trial(bench.world.start_task())])
    assert ended.state is OperationState.SUCCEEDED
    assert bench.world.failures == [(), (), ({"code": "pve.task_failed", "detail": "Bad."},)], "a lock is no failure"
    assert names(bench) == ["first", *["second"] * 3, "third"], "a task that ended well was the last one"


def test_a_step_is_put_off_and_finds_what_it_noted(bench: Bench) -> None:
    ended = bench.run(first=[Later(0.01, {"looks": 1}), Later(0.01, {"looks": 2}), {"looks": 3}])
    assert ended.state is OperationState.SUCCEEDED
    assert names(bench) == ["first", "first", "first", "second", "third"]
    assert bench.world.noted == [None, {"looks": 1}, {"looks": 2}]


def test_an_undo_is_repeated_until_it_finds_nothing(bench: Bench) -> None:
    ended = bench.run(second=[REFUSED], undo_second=[bench.world.start_task, bench.world.start_task, None])
    assert ended.state is OperationState.FAILED
    assert names(bench)[2:5] == ["undo second"] * 3


def test_outputs_reach_later_steps_and_undos(bench: Bench) -> None:
    ended = bench.run(first=[{"made": 7}], third=[REFUSED])
    assert ended.state is OperationState.FAILED
    with bench.db.read() as tx:
        assert operations.step(tx, ended.id, 1).output == {"made": 7}


def test_a_refused_undo_leaves_the_operation_stuck_until_somebody_resolves_it(bench: Bench) -> None:
    """L41: never silently dropped."""
    stuck = bench.run(second=[REFUSED], undo_first=[REFUSED] * (UNDO_TRIES + 1))
    assert stuck.state is OperationState.STUCK
    assert stuck.error is not None
    assert stuck.error["undo"]["code"] == "pve.refused"
    with bench.db.begin() as tx:
        bench.engine.resume_unwinding(tx, stuck.id)
    ended = bench.ended(stuck)
    assert ended.state is OperationState.FAILED
    assert names(bench)[-2:] == ["undo first", "undo reserved"]


def test_an_undo_that_is_refused_in_passing_is_tried_again(bench: Bench) -> None:
    """PVE says many a passing thing with a bare 500."""
    ended = bench.run(second=[REFUSED], undo_first=[REFUSED] * UNDO_TRIES)
    assert ended.state is OperationState.FAILED
    assert names(bench).count("undo first") == UNDO_TRIES + 1


def test_a_resolved_undo_whose_task_had_failed_begins_anew(bench: Bench) -> None:
    def failing() -> Upid:
        upid = bench.world.start_task()
        bench.world.ends[upid] = {"ok": False, "again": False, "problem": {"code": "pve.task_failed"}}
        return upid

    stuck = bench.run(second=[REFUSED], undo_first=[failing] * (UNDO_TRIES + 1))
    assert stuck.state is OperationState.STUCK
    with bench.db.begin() as tx:
        bench.engine.resume_unwinding(tx, stuck.id)
    assert bench.ended(stuck).state is OperationState.FAILED


def test_only_a_stuck_operation_is_resolved(bench: Bench) -> None:
    ended = bench.run()
    with pytest.raises(Conflict), bench.db.begin() as tx:
        bench.engine.resume_unwinding(tx, ended.id)


def test_a_fault_of_ours_unwinds_and_tells_nothing(bench: Bench) -> None:
    """L101."""
    ended = bench.run(second=[RuntimeError("secret path /etc/x")])
    assert ended.state is OperationState.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "internal"
    assert "secret" not in str(ended.error)


def test_secrets_are_forgotten_at_the_end(bench: Bench) -> None:
    """L46."""
    ended = bench.run()
    with bench.db.read() as tx:
        row = tx.get_one(OperationRow, ended.id)
        assert row.parameters == {"name": "one", "password": None}


def test_one_open_operation_per_guest(bench: Bench) -> None:
    """L120."""
    bench.world.behaviour = {"first": [PveUnreachable("Away.")]}
    first = bench.submit(guest="g1")
    with pytest.raises(Busy) as refused:
        bench.submit(guest="g1")
    assert first.id in str(refused.value.members["operation"])
    assert bench.ended(first).state is OperationState.SUCCEEDED
    assert bench.ended(bench.submit(guest="g1")).state is OperationState.SUCCEEDED


def test_cancelling_unwinds(bench: Bench) -> None:
    bench.world.behaviour = {"first": [PveUnreachable("Away.")], "second": [PveUnreachable("Away.")]}
    operation = bench.submit()
    with bench.db.begin() as tx:
        operations.request_cancel(tx, EVERY_TENANT, operation.id)
    ended = bench.ended(operation)
    assert ended.state is OperationState.CANCELLED
    assert names(bench)[-1] == "undo reserved"
    assert "third" not in names(bench)


def test_fairness_every_lane_is_served(bench: Bench) -> None:
    many = [bench.submit(tenant="crowd") for _ in range(30)]
    single = bench.submit(tenant="alone")
    assert bench.ended(single).state is OperationState.SUCCEEDED
    for operation in many:
        assert bench.ended(operation, within=40).state is OperationState.SUCCEEDED


def test_a_task_s_end_is_taken_up_whoever_notes_it_and_however_often(bench: Bench) -> None:
    """Two keepers for a moment: what the slower one notes of a task that nobody waits for any more changes nothing."""
    first = bench.world.start_task()
    operation = bench.run(first=[first])
    with bench.db.begin() as tx:
        operations.note_ends(tx, {first: {"ok": False, "again": False, "problem": None}})
    with bench.db.read() as tx:
        assert operations.woken(tx) == []
        assert operations.watched(tx) == {}
    assert operation.state is OperationState.SUCCEEDED


def test_a_round_that_breaks_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours outside of the steps: nothing is lost with it."""
    faults = [RuntimeError("once")]
    whole = bench.worker._execution._next

    def broken(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return whole(*arguments)

    monkeypatch.setattr(bench.worker._execution, "_next", broken)
    assert bench.run().state is OperationState.SUCCEEDED
    assert faults == []
