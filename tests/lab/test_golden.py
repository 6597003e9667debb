"""What a real PVE 9.1.8 answered, the lab answers too: every exchange but those that mismatches.json explains."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import scenario
from tests.lab.process import LabProcess, running
from tests.lab.scenario import Mismatch, Play

EXPLAINED: dict[str, str] = json.loads((Path(__file__).parent / "mismatches.json").read_text())


def areas() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in scenario.names():
        found[name.partition("-")[0]].append(name)
    return found


@pytest.fixture(scope="module")
def golden_lab() -> Iterator[LabProcess]:
    with running() as lab:
        yield lab


def shown(mismatch: Mismatch) -> str:
    wanted, got = (json.dumps(value, sort_keys=True)[:1500] for value in (mismatch.wanted, mismatch.got))
    return f"{mismatch.scenario} #{mismatch.step}\n  want {wanted}\n  got  {got}"


@pytest.mark.parametrize("area", sorted(areas()))
def test_the_lab_answers_as_recorded(golden_lab: LabProcess, area: str) -> None:
    found: list[Mismatch] = []
    for name in areas()[area]:
        golden_lab.reset()
        found += Play(golden_lab, name).mismatches()
    new = [mismatch for mismatch in found if f"{mismatch.scenario} #{mismatch.step}" not in EXPLAINED]
    assert not new, "\n".join(map(shown, new))


def test_what_is_explained_is_still_so(golden_lab: LabProcess) -> None:
    """An explanation that is no longer needed goes."""
    for name in {place.partition(" ")[0] for place in EXPLAINED}:
        golden_lab.reset()
        found = {f"{mismatch.scenario} #{mismatch.step}" for mismatch in Play(golden_lab, name).mismatches()}
        assert {place for place in EXPLAINED if place.startswith(f"{name} ")} <= found
