"""The two commands, as far as they can be tried without installing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.front import CHECKOUT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: apt-get install make")


def test_make_alone_lists_the_commands() -> None:
    listed = _make(CHECKOUT).stdout
    for target in ("setup", "run", "test", "check", "bench", "kill", "openapi", "migrate", "clean"):
        assert f"make {target} " in listed


def test_without_a_usable_python_one_sentence_says_so(tmp_path: Path) -> None:
    _bare_checkout(tmp_path)
    ended = _make(tmp_path, "setup", "PYTHON=")
    assert ended.returncode != 0
    assert "Python 3.11" in ended.stderr
    assert not (tmp_path / ".venv").exists()


def test_without_ensurepip_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    _bare_checkout(tmp_path)
    debian = tmp_path / "python-without-venv"
    debian.write_text("#!/bin/sh\nexit 1\n")
    debian.chmod(0o755)
    ended = _make(tmp_path, "setup", f"PYTHON={debian}")
    assert ended.returncode != 0
    assert "apt-get install python3-venv" in ended.stderr


def test_a_fresh_environment_is_left_alone(tmp_path: Path) -> None:
    _bare_checkout(tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/pip", ".python-ready", ".node-ready"):
        (tmp_path / ".venv" / name).touch()
    ended = _make(tmp_path, "setup", "PYTHON=false")
    assert ended.returncode == 0, ended.stderr


def test_ci_runs_the_tests_and_then_the_linters(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    fake = tmp_path / "make"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI": "true"}
    subprocess.run(["bash", ".ci/run"], cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, check=True)
    assert calls.read_text().splitlines() == ["test", "check"]


def test_ci_fails_with_the_tests(tmp_path: Path) -> None:
    fake = tmp_path / "make"
    fake.write_text("#!/bin/sh\nexit 2\n")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["bash", ".ci/run"], cwd=CHECKOUT, env=environment).returncode == 2


def _bare_checkout(folder: Path) -> None:
    """What `make setup` reads, older than anything that the test makes after it."""
    for name in (
        "Makefile",
        "pyproject.toml",
        "tests/requirements.txt",
        "app/web/package-lock.json",
        "deploy/build-requirements.txt",
        "deploy/node-requirements.txt",
        "deploy/node-packages.sh",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, folder / name)
        os.utime(folder / name, (1_000_000_000, 1_000_000_000))


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
