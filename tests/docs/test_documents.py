"""The documents tell the truth: codes, files and links that they name exist, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.api import errors
from app.domain import errors as domain
from app.pve.failures import READINGS
from app.qemu import failures

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
DOCUMENTS = [*sorted(DOCS.rglob("*.md")), *sorted(CHECKOUT.glob("*.md"))]

#: Of classes that nothing is ever made of.
_ABSTRACT = {"error", "pve.error"}


def codes_in(*rooms: Path) -> set[str]:
    """Every `code = "..."`, `code="..."`, `"code": "..."`, and the tables of lost races and of refusals."""
    form = re.compile(r"""(?:\bcode(?::\s*str)?\s*=\s*|"code":\s*|\b4\d\d: \(|": \()"([a-z_]+(?:\.[a-z_]+)*)\"""")
    files = [path for room in rooms for path in (room.rglob("*.py") if room.is_dir() else [room])]
    return {code for path in files for code in form.findall(path.read_text())} - _ABSTRACT


def codes_in_the_code() -> set[str]:
    """Of the house: the lab is a program of its own, and speaks PVE's words."""
    rooms = [room for room in (CHECKOUT / "app").iterdir() if room.name not in ("lab", "web")]
    return codes_in(*rooms) | codes_of_readings()


def codes_of_readings() -> set[str]:
    """What the tables of PVE's and of libvirt's words make of them, and hand on to callers."""
    return {reading.code for reading in (*READINGS, *failures.READINGS) if reading.code is not None}


def documented_codes() -> dict[str, str]:
    """code -> status."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\d{3}) \| .+ \| .+ \|$", (DOCS / "status-codes.md").read_text(), re.M)
    assert len(rows) == len({code for code, _ in rows}), "a code stands there twice"
    return dict(rows)


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    assert set(documented_codes()) == codes_in_the_code()


def test_every_status_of_a_code_is_explained() -> None:
    text = (DOCS / "status-codes.md").read_text()
    explained = {status for row in re.findall(r"^\| ([\d, ]+) \|", text, re.M) for status in row.split(", ")}
    assert set(documented_codes().values()) <= explained


def test_statuses_are_those_that_answer() -> None:
    """By the class that carries the code; of an operation's stored error only the code is left."""
    classes = {
        kind.code: errors.status_of(kind)
        for kind in vars(domain).values()
        if isinstance(kind, type) and issubclass(kind, domain.AppError) and kind.code not in _ABSTRACT
    }
    documented = documented_codes()
    assert {code: documented[code] for code in classes} == {code: str(status) for code, status in classes.items()}
    of_operations = (
        codes_in(*(CHECKOUT / "app" / room for room in ("sagas", "operations", "pve"))) | codes_of_readings()
    )
    answered = {
        code: str(errors.complete({"code": code})["status"]) for code in of_operations - {"operation.not_stuck"}
    }
    assert {code: documented[code] for code in answered} == answered


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    gone = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert gone == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_files_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"`((?:app|tests|docs|deploy|bench|clients|openapi)/[\w./-]*)`", document.read_text()))
    assert [name for name in sorted(named) if not (CHECKOUT / name).exists()] == []


def test_decisions_are_numbered_one_by_one() -> None:
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in (DOCS / "adr").glob("*.md"):
        assert path.read_text().startswith(f"# {int(path.name[:4])}. "), path.name


def test_every_room_has_a_line() -> None:
    rooms = set(re.findall(r"^\| `(app/[\w.]+/?)` \|", (DOCS / "architecture.md").read_text(), re.M))
    there = {
        f"app/{path.name}{'/' if path.is_dir() else ''}"
        for path in (CHECKOUT / "app").iterdir()
        if path.name not in ("__init__.py", "__pycache__")
    }
    assert rooms == there
