"""What `run.py` says, in one sentence, where it cannot start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.whole import CHECKOUT, clean_environment
from tests.servers import free_port


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = _refusal(tmp_path, POOLHOUSE_PORT=port)
    assert "POOLHOUSE_PORT" in said
    assert port in said


def test_a_lab_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = _refusal(tmp_path, POOLHOUSE_LAB_PORT=str(taken.getsockname()[1]))
    assert "POOLHOUSE_LAB_PORT" in said


def test_a_state_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "POOLHOUSE_STATE_DIR" in _refusal(tmp_path / "file" / "var")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_of_somebody_else() -> None:
    assert "POOLHOUSE_STATE_DIR" in _refusal(Path("/usr/poolhouse"))


def test_l68_a_wrong_setting(tmp_path: Path) -> None:
    assert "POOLHOUSE_LAB_TIME_SCALE" in _refusal(tmp_path, POOLHOUSE_LAB_TIME_SCALE="quick")


def test_an_environment_that_is_not_complete(tmp_path: Path) -> None:
    """Another Python's: `-S` hides what is installed."""
    ended = subprocess.run(
        [sys.executable, "-S", "run.py"], cwd=CHECKOUT, capture_output=True, text=True, env=clean_environment({})
    )
    assert ended.returncode == 1
    assert "make run" in ended.stderr


def test_help_starts_nothing(tmp_path: Path) -> None:
    for arguments, code in ((["--help"], 0), (["-h"], 0), (["--port=1"], 2), (["worker"], 2)):
        ended = subprocess.run(
            [sys.executable, "run.py", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=60,
            env=clean_environment({"POOLHOUSE_STATE_DIR": str(tmp_path / "var")}),
        )  # fmt: skip
        assert ended.returncode == code
        assert "usage: run.py" in ended.stdout + ended.stderr
        assert not (tmp_path / "var").exists()


def _refusal(state: Path, **settings: str) -> str:
    ports = {name: str(free_port()) for name in ("POOLHOUSE_PORT", "POOLHOUSE_LAB_PORT", "POOLHOUSE_LAB_CONTROL_PORT")}
    ended = subprocess.run(
        [sys.executable, "run.py"],
        cwd=CHECKOUT,
        env=clean_environment({"POOLHOUSE_STATE_DIR": str(state), **ports, **settings}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert len(said.strip().splitlines()) == 1, said
    return said
