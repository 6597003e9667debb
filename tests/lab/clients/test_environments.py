"""Environments are made once for a lock, anew where they were half made, and not at all without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.clients import environments


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_an_environment_is_kept_until_its_lock_changes(tmp_path: Path) -> None:
    lock, made = tmp_path / "requirements.txt", list[Path]()

    def install(target: Path) -> None:
        target.mkdir()
        made.append(target)

    lock.write_text("a==1")
    first = environments.kept("client", lock, install)
    assert environments.kept("client", lock, install) == first
    lock.write_text("a==2")
    assert environments.kept("client", lock, install) != first
    assert len(made) == 2


def test_what_was_half_made_is_made_anew(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("a==1")

    def cut_off(target: Path) -> None:
        target.mkdir()
        (target / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environments.kept("client", lock, cut_off)
    assert [path.name for path in environments.kept("client", lock, Path.mkdir).iterdir()] == [".ready"]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("ERROR: No matching distribution found for ansible==12.3.0", pytest.skip.Exception),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", RuntimeError),
    ],
)
def test_no_network_is_a_skip_and_a_bad_lock_a_failure(said: str, outcome: type[BaseException]) -> None:
    with pytest.raises(outcome, match="ERROR"):
        environments._install("sh", "-c", f"echo '{said}' >&2; exit 1")
