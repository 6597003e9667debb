"""`poolhouse`, as an operator meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def test_help_lists_the_commands() -> None:
    printed = _poolhouse("--help").stdout
    assert all(name in printed for name in ("serve", "worker", "lab", "db", "seed", "openapi"))


def test_an_unknown_command_is_refused() -> None:
    assert _poolhouse("wroker").returncode == 2


@pytest.mark.parametrize("command", [["worker"], ["db", "upgrade"], ["seed"], ["serve"]])
def test_l68_a_bad_setting_is_one_sentence_that_names_it(command: list[str], tmp_path: Path) -> None:
    ended = _poolhouse(*command, environment={"POOLHOUSE_STATE_DIR": str(tmp_path), "POOLHOUSE_PORT": "eighty"})
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: POOLHOUSE_PORT ")
    assert len(ended.stderr.splitlines()) == 1


def test_l55_production_without_keys_is_refused(tmp_path: Path) -> None:
    environment = {"POOLHOUSE_STATE_DIR": str(tmp_path), "POOLHOUSE_MODE": "production"}
    ended = _poolhouse("db", "upgrade", environment=environment)
    assert ended.returncode == 1
    assert "POOLHOUSE_SECRET_KEY" in ended.stderr


def test_the_database_goes_up_twice_and_down(tmp_path: Path) -> None:
    environment = {"POOLHOUSE_STATE_DIR": str(tmp_path)}
    for command in (["upgrade"], ["upgrade"], ["downgrade", "--yes", "base"]):
        assert _poolhouse("db", *command, environment=environment).returncode == 0
    refused = _poolhouse("db", "downgrade", "--yes", "0815", environment=environment)
    assert refused.returncode == 1
    assert "0815" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_command_reads_the_file_of_its_folder(tmp_path: Path) -> None:
    """What is in the environment wins."""
    state = tmp_path / "state"
    (tmp_path / ".env").write_text(f"POOLHOUSE_MODE=development\nPOOLHOUSE_PORT=eighty\nPOOLHOUSE_STATE_DIR={state}\n")
    ended = _poolhouse("db", "upgrade", folder=tmp_path)
    assert "POOLHOUSE_PORT" in ended.stderr
    ended = _poolhouse("db", "upgrade", folder=tmp_path, environment={"POOLHOUSE_PORT": "80"})
    assert ended.returncode == 0, ended.stderr
    assert (state / "poolhouse.db").exists()


def test_l54_the_first_administrators_password_is_shown_once(tmp_path: Path) -> None:
    environment = {"POOLHOUSE_STATE_DIR": str(tmp_path)}
    assert _poolhouse("db", "upgrade", environment=environment).returncode == 0
    first = json.loads(_poolhouse("seed", "--json", environment=environment).stdout)
    again = json.loads(_poolhouse("seed", "--json", environment=environment).stdout)
    assert len(first["admin_password_generated"]) >= 16
    assert again == {"admin_password_generated": None}


def test_l54_a_given_password_is_not_shown(tmp_path: Path) -> None:
    environment = {"POOLHOUSE_STATE_DIR": str(tmp_path), "POOLHOUSE_ADMIN_PASSWORD": "correct horse battery"}
    assert _poolhouse("db", "upgrade", environment=environment).returncode == 0
    ended = _poolhouse("seed", environment=environment)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "correct horse" not in ended.stderr


def test_the_openapi_document_needs_neither_database_nor_secret(tmp_path: Path) -> None:
    ended = _poolhouse("openapi", folder=tmp_path, environment={"POOLHOUSE_MODE": "production"})
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["openapi"].startswith("3.1")
    assert list(tmp_path.iterdir()) == []


def _poolhouse(
    *arguments: str, environment: Mapping[str, str] | None = None, folder: Path = CHECKOUT
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POOLHOUSE_")}
    own = {} if folder != CHECKOUT else {"POOLHOUSE_MODE": "development", "PYTHON_DOTENV_DISABLED": "1"}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(CHECKOUT), **own, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )
