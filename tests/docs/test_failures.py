"""What the page of failures says of Proxmox VE's words is what becomes of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.api import errors
from app.domain.errors import AppError
from app.domain.identifiers import Upid
from app.pve.failures import READINGS, from_answer, task_failure

UPID = Upid("UPID:n1:0001A2B3:00C4D5E6:65A1B2C3:qmstart:100:root@pam:")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "failures.md").read_text()
METHODS = ("GET", "POST", "PUT", "DELETE")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    _, _, below = PAGE.partition(f"\n## {heading}\n")
    table = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def told(error: AppError) -> list[str]:
    """As the last cells of a row."""
    shown = errors.document_of(error)
    again = "yes" if shown["try_again"] else "no"
    return [f"`{shown['code']}`", str(shown["status"]), shown["detail"], shown["remedy"], again]


@pytest.mark.parametrize("row", rows("By its words"), ids=lambda row: quoted(row[0])[0][:40])
def test_words_mean_what_the_page_says_wherever_they_are_met(row: list[str]) -> None:
    for words in quoted(row[0]):
        assert told(from_answer("POST", 500, words, {"message": f"{words}\n"})) == row[1:], words
        assert told(task_failure(UPID, words)) == row[1:], words


def test_the_page_has_a_row_for_each_line_of_the_table_in_its_order() -> None:
    met = [
        {next(number for number, reading in enumerate(READINGS) if reading.pattern.search(words)) for words in texts}
        for texts in (quoted(row[0]) for row in rows("By its words"))
    ]
    assert met == [{number} for number in range(len(READINGS))]


@pytest.mark.parametrize("row", rows("By its status"), ids=lambda row: f"{row[0]} {row[1]}")
def test_a_status_means_what_the_page_says(row: list[str]) -> None:
    method, status, (reason,), *says = row[0], int(row[1]), quoted(row[2]), *row[3:]
    for one in METHODS if method == "any" else [method]:
        assert told(from_answer(one, status, reason, None)) == says


@pytest.mark.parametrize("row", rows("By the end of a task"), ids=lambda row: row[0][:20])
def test_the_end_of_a_task_means_what_the_page_says(row: list[str]) -> None:
    assert told(task_failure(UPID, next(iter(quoted(row[0])), ""))) == row[1:]
