"""The cases of the matrix, from the registry, and how waves of them are played.

A wave submits all its operations while no worker is there, lets the rehearsing worker (`tests.kill.rehearsal`) carry
them to the points at which they are to be caught, kills it with -9 when all of them stand there, and lets an ordinary
worker go on: a new one, or in every other wave one that was alive already and takes over.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.operations import Saga
from app.sagas import REGISTRY
from tests import world
from tests.house import Caller, House, wait_for
from tests.kill.rehearsal import Direction
from tests.kill.scenes import Cast, Request, Scene, scenes

POINTS = ("before", "sent", "saved")
#: The property of a test's report that carries its `row`.
TRIED = "tried"
#: Of those that are caught: each holds a thread of the worker.
_WAVE = 36
_PATIENCE = 120.0


@dataclass(frozen=True)
class Case:
    scene: Scene
    direction: Direction

    def __str__(self) -> str:
        d = self.direction
        words = [self.scene.name]
        if d.refused:
            words.append(f"{d.refused}-{'refused-late' if d.late else 'refused'}")
        if d.what != "watch":
            words += [d.act, d.step, d.what if d.what != "catch" else d.point]
        return "-".join(word.replace(" ", "_") for word in words)

    @property
    def end(self) -> str:
        return "failed" if self.direction.refused else "succeeded"


@dataclass
class Played:
    """What became of a case: its operation at the end, the world's disorder after its wave."""

    case: Case
    operation: dict[str, Any] = field(default_factory=dict)
    caught: bool = False
    was_stuck: bool = False
    disorder: list[str] = field(default_factory=list)


def cases() -> list[Case]:
    """Everything that can go wrong at a step, for every step of every saga of the registry."""
    return [case for scene in scenes() for case in _of(scene, REGISTRY[scene.saga])]


def _of(scene: Scene, saga: Saga) -> Iterator[Case]:
    for step in saga.steps:
        if step.do is None:
            continue
        for point in POINTS:
            yield Case(scene, Direction("catch", "do", step.name, point))
        yield Case(scene, Direction("twice", "do", step.name))
        for late in (False, True):
            yield Case(scene, Direction("watch", refused=step.name, late=late))
    for position, step in enumerate(saga.steps):
        if step.undo is None:
            continue
        refused, late = _refusal_that_undoes(saga, position)
        for point in POINTS:
            yield Case(scene, Direction("catch", "undo", step.name, point, refused=refused, late=late))
        for what in ("twice", "stick"):
            yield Case(scene, Direction(what, "undo", step.name, refused=refused, late=late))


def _refusal_that_undoes(saga: Saga, position: int) -> tuple[str, bool]:
    """The step whose refusal undoes the most, the one at `position` too; nothing that cannot be taken back is done."""
    names = [step.name for step in saga.steps if step.do is not None]
    if saga.point_of_no_return is None:
        return names[-1], True
    after = [step.name for step in saga.steps[position:] if step.do is not None]
    return after[0], False


def selection(every: Sequence[Case], share: int) -> set[str]:
    """A part of the cases for the everyday suite: every `share`th, which meets every saga and every point."""
    return {str(case) for case in itertools.islice(every, 0, None, share)}


def play(house: House, wanted: Sequence[Case]) -> dict[str, Played]:
    """Play the cases in waves; the worker of the house, if there is one, is replaced."""
    tenant, elsewhere = house.make_tenant(), house.make_tenant()["poolid"]
    played = {str(case): Played(case) for case in wanted}
    caught = [one for one in played.values() if one.case.direction.what == "catch"]
    others = [one for one in played.values() if one.case.direction.what != "catch"]
    waves = max(1, -(-len(caught) // _WAVE))
    for number in range(waves):
        cast = Cast(house, house.admin(), house.make_member(tenant), elsewhere)  # a log-in lasts a wave
        _Wave(cast, caught[number::waves] + others[number::waves], number).play()
    return played


class _Wave:
    def __init__(self, cast: Cast, parts: Sequence[Played], number: int) -> None:
        self._cast = cast
        self._house = cast.house
        self._parts = parts
        self._number = number
        self._folder = cast.house.state_dir / f"wave-{number}"

    def play(self) -> None:
        results = self._before()
        self._end_worker()
        operations = {
            self._submit(self._caller(part.case.scene), part.case.scene.ask(result)): part
            for part, result in zip(self._parts, results, strict=True)
        }
        rehearsing = self._rehearse(operations)
        takes_over = self._number % 2 == 1
        if takes_over:
            self._house.start_worker()
        rehearsing.kill()
        rehearsing.wait()
        if not takes_over:
            self._house.start_worker()
        for operation, part in operations.items():
            part.operation = self._ended(operation)
            if part.case.direction.what == "stick" and part.operation["state"] == "stuck":
                part.was_stuck = True
                self._resolve(operation)
        for operation, part in operations.items():
            part.operation = self._ended(operation)
        disorder = self._disorder()
        for part in self._parts:
            part.disorder = disorder

    def _before(self) -> list[dict[str, Any]]:
        """Make what must be there, one thing of each at once."""
        results: list[dict[str, Any]] = [{"elsewhere": self._cast.elsewhere} for _ in self._parts]
        for turn in range(max(len(part.case.scene.before) for part in self._parts)):
            asked = {
                place: self._submit(self._first(part.case.scene), part.case.scene.before[turn](results[place]))
                for place, part in enumerate(self._parts)
                if turn < len(part.case.scene.before)
            }
            for place, operation in asked.items():
                ended = self._ended(operation)
                assert ended["state"] == "succeeded", ended
                results[place] |= ended["result"] or {}
        self._behind(results)
        return results

    def _behind(self, results: list[dict[str, Any]]) -> None:
        """Let happen in PVE what is to happen, and put the drift that comes of it into the results."""
        changed = {
            place: part.case.scene.behind(self._cast, results[place])
            for place, part in enumerate(self._parts)
            if part.case.scene.behind is not None
        }
        if not changed:
            return

        def noticed() -> dict[int, str] | None:
            rows = self._cast.admin.get("/drift?limit=1000").get_json()["data"]
            found = {row["vmid"]: row["id"] for row in rows}
            return found if found.keys() >= set(changed.values()) else None

        drift = wait_for(noticed, within=_PATIENCE)
        for place, vmid in changed.items():
            results[place]["drift"] = drift[vmid]

    def _submit(self, caller: Caller, request: Request) -> str:
        method, path, body = request
        answer = caller.send(method, path, body)
        assert answer.status_code == 202, answer.get_data(as_text=True)
        identity: str = answer.get_json()["id"]
        return identity

    def _first(self, scene: Scene) -> Caller:
        return self._cast.member if scene.behind is not None or scene.before_by_member else self._caller(scene)

    def _caller(self, scene: Scene) -> Caller:
        return self._cast.admin if scene.by_admin else self._cast.member

    def _rehearse(self, operations: dict[str, Played]) -> subprocess.Popen[bytes]:
        """Start the rehearsing worker, and wait until all that are to be caught are, and all others have ended."""
        self._folder.mkdir()
        plan = self._folder.with_suffix(".json")
        plan.write_text(
            json.dumps({name: dataclasses.asdict(part.case.direction) for name, part in operations.items()})
        )
        worker = self._house.start_program("tests.kill.rehearsal", str(plan), str(self._folder))
        wanted = {name for name, part in operations.items() if part.case.direction.what == "catch"}
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and worker.poll() is None:
            caught = {path.name for path in self._folder.iterdir()}
            if caught >= wanted and all(self._state(name) in _ENDED for name in operations.keys() - wanted):
                break
            time.sleep(0.2)
        for name in wanted & {path.name for path in self._folder.iterdir()}:
            operations[name].caught = True
        return worker

    def _state(self, operation: str) -> str:
        state: str = self._cast.admin.get(f"/operations/{operation}").get_json()["state"]
        return state

    def _ended(self, operation: str) -> dict[str, Any]:
        """The operation once it has ended; as it is, where it does not."""
        until = time.monotonic() + _PATIENCE
        while self._state(operation) not in _ENDED and time.monotonic() < until:
            time.sleep(0.1)
        found: dict[str, Any] = self._cast.admin.get(f"/operations/{operation}").get_json()
        return found

    def _resolve(self, operation: str) -> None:
        answer = self._cast.admin.post(f"/operations/{operation}/resolve", {"note": "as rehearsed"})
        assert answer.status_code == 202, answer.get_data(as_text=True)

    def _end_worker(self) -> None:
        for worker in [*self._house.workers]:
            worker.terminate()
            worker.wait(30)
            self._house.workers.remove(worker)

    def _disorder(self) -> list[str]:
        """What is not in order once the inventory has looked again; PVE may still be ending tasks that nobody waits
        for."""
        until = time.monotonic() + 20
        while (found := world.disorder(self._house)) and time.monotonic() < until:
            time.sleep(0.5)
        return found


_ENDED = ("succeeded", "failed", "cancelled", "stuck")


def row(one: Played) -> tuple[str, str, str]:
    """Saga, act and step, and what was tried there; in capitals where it did not end as it should."""
    d = one.case.direction
    act, step = (d.act, d.step) if d.step else ("do", d.refused or "")
    tried = d.point if d.what == "catch" else d.what if d.step else "refused late" if d.late else "refused"
    good = one.operation.get("state") == one.case.end
    return one.case.scene.name, f"{act} {step}", tried if good else f"{tried.upper()}!"


def table(tried: Iterable[tuple[str, str, str]]) -> list[str]:
    """A line for each saga, act and step."""
    rows: dict[tuple[str, str], list[str]] = {}
    for scene, step, what in tried:
        rows.setdefault((scene, step), []).append(what)
    return [f"{scene:18} {step:22} {', '.join(tried)}" for (scene, step), tried in sorted(rows.items())]
