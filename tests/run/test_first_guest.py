"""The README, carried out: `make run`, the first guest with curl, the end, and the next start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.run.whole import CHECKOUT, Whole, clean_environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Iterator[Whole]:
    started = Whole(folder / "state", folder / "output")
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


def test_l110_the_first_guest(whole: Whole) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt-get install curl")
    ended = subprocess.run(
        ["bash", "clients/curl/first-guest.sh"],
        cwd=CHECKOUT,
        env=clean_environment({"POOLHOUSE_URL": whole.url, "POOLHOUSE_ADMIN_PASSWORD": whole.password()}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "quota.exceeded: memory limit 1024, used 512, requested 4096" in ended.stdout
    assert "Everything went as it should." in ended.stdout
    assert whole.password() not in ended.stdout


def test_l110_the_commands_of_the_readme(whole: Whole) -> None:
    text = (CHECKOUT / "README.md").read_text()
    block = next(part for part in text.split("```sh\n")[1:] if part.startswith("url=")).split("```")[0]
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace("http://127.0.0.1:5000", whole.url)],
        env=clean_environment({"POOLHOUSE_ADMIN_PASSWORD": whole.password()}),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count('"succeeded"') >= 2, ended.stdout


def test_swagger_ui_is_there(whole: Whole) -> None:
    assert requests.get(f"{whole.url}/docs", timeout=10).status_code == 200
    assert requests.get(f"{whole.url}/openapi.json", timeout=10).json()["openapi"].startswith("3.1")


def test_command_lines_tell_what_a_process_is(whole: Whole) -> None:
    commands = list(whole.children().values())
    for part in ("poolhouse lab", "poolhouse worker", "gunicorn"):
        assert any(part in command for command in commands), commands


def test_l64_no_secret_on_a_command_line(whole: Whole) -> None:
    secrets = [(whole.state / "lab" / "password").read_text(), whole.password()]
    assert not [secret for secret in secrets for command in whole.children().values() if secret in command]


def test_the_state_is_for_its_owner_only(whole: Whole) -> None:
    assert whole.state.stat().st_mode & 0o777 == 0o700
    for name in ("secret.key", "encryption.key", "lab/password"):
        assert (whole.state / name).stat().st_mode & 0o777 == 0o600, name


@pytest.mark.parametrize("part", ["poolhouse worker", "gunicorn", "poolhouse lab"])
def test_a_killed_process_runs_again_within_20_s(whole: Whole, part: str) -> None:
    before = whole.children()
    os.kill(whole.child(part), signal.SIGKILL)
    began = time.monotonic()
    while time.monotonic() < began + 20:
        again = [command for pid, command in whole.children().items() if pid not in before]
        if any(part in command for command in again) and whole.status() == 200:
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"{part} is not back:\n{whole.shown()}")
    assert "SIGKILL" in whole.shown()


def test_a_second_one_on_the_same_state_is_refused(whole: Whole, folder: Path) -> None:
    second = Whole(whole.state, folder / "second")
    assert second.process.wait(30) == 1
    assert "already" in second.shown()
    assert whole.status() == 200


def test_it_ends_within_20_s_and_the_next_start_has_everything(whole: Whole, folder: Path) -> None:
    password = whole.password()
    token = _log_in(whole, password)
    assert _tenants(whole, token) == ["demo"]
    assert whole.stop() < 20
    assert whole.process.returncode == 0
    began = time.monotonic()
    again = Whole(whole.state, folder / "again", **whole.environment)
    try:
        again.wait_ready()
        took = time.monotonic() - began
        assert _tenants(again, token) == ["demo"], "a token is good over a restart"
        assert "(shown this once)" not in again.shown()
        assert password not in again.shown()
        assert again.stop(signal.SIGINT) < 20
    finally:
        again.kill()
    assert took < 30


def _log_in(whole: Whole, password: str) -> str:
    answer = requests.post(f"{whole.url}/api/auth/login", json={"username": "admin", "password": password}, timeout=10)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def _tenants(whole: Whole, token: str) -> list[str]:
    answer = requests.get(f"{whole.url}/api/tenants", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["data"]]
