"""docs/capabilities.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line.split(" | ")
    for line in (ROOT / "docs/capabilities.md").read_text().splitlines()
    if re.match(r"\| [A-I]\d+ \|", line)
]


def test_every_row_of_the_plan_is_there() -> None:
    assert len(ROWS) == 82
    assert {row[2] for row in ROWS} <= {"yes", "part", "no"}


@pytest.mark.parametrize("row", [row for row in ROWS if row[2] != "no"], ids=lambda row: row[0].strip("| "))
def test_what_is_done_names_its_proof(row: list[str]) -> None:
    named = re.findall(r"`(tests/[^`:]+)(?:::([a-z0-9_]+))?`", row[3])
    assert named or "make check" in row[3]
    for path, test in named:
        assert (ROOT / path).exists(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(), test
