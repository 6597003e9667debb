"""The documents tell the truth: codes, files and links that they name exist, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
DOCUMENTS = [*sorted(DOCS.rglob("*.md")), *sorted(CHECKOUT.glob("*.md"))]

#: Of classes that nothing is ever made of.
_ABSTRACT = {"error", "pve.error"}


def sources() -> list[Path]:
    """Of the house: the lab is a program of its own, and speaks PVE's words."""
    return [path for path in (CHECKOUT / "app").rglob("*.py") if "lab" not in path.parts[len(CHECKOUT.parts) :]]


def codes_in_the_code() -> set[str]:
    """Every `code = "..."`, `code="..."` and `"code": "..."`."""
    form = re.compile(r"""(?:\bcode(?::\s*str)?\s*=\s*|"code":\s*)"([a-z_]+(?:\.[a-z_]+)*)\"""")
    return {code for path in sources() for code in form.findall(path.read_text())} - _ABSTRACT


def documented_codes() -> dict[str, str]:
    """code -> status."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\d{3}|-) \| .+ \| .+ \|$", (DOCS / "status-codes.md").read_text(), re.M)
    assert len(rows) == len({code for code, _ in rows}), "a code stands there twice"
    return dict(rows)


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    assert set(documented_codes()) == codes_in_the_code()


def test_every_status_of_a_code_is_explained() -> None:
    text = (DOCS / "status-codes.md").read_text()
    explained = {status for row in re.findall(r"^\| ([\d, ]+) \|", text, re.M) for status in row.split(", ")}
    assert set(documented_codes().values()) - {"-"} <= explained


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
