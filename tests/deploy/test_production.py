"""gunicorn with the app, behind nginx, as on a production machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app import bootstrap
from app.config import Settings
from tests.deploy import front

FRONT_END = "https://app.example.org"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "POOLHOUSE_MODE": "production",
        "POOLHOUSE_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "POOLHOUSE_SECRET_KEY": secrets.token_hex(32),
        "POOLHOUSE_ENCRYPTION_KEY": secrets.token_hex(32),
        "POOLHOUSE_PROXIES": "1",
        "POOLHOUSE_ALLOWED_ORIGINS": FRONT_END,
    }


@pytest.fixture(scope="module")
def url(settings: dict[str, str], nginx_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bootstrap.migrate(Settings.from_env(settings))
    folder: Path = tmp_path_factory.mktemp("production")
    with (
        front.gunicorn(folder / "web", "wsgi:app", settings) as upstream,
        front.nginx(nginx_program, folder / "nginx", upstream) as port,
    ):
        yield f"http://127.0.0.1:{port}"


def test_it_is_alive(url: str) -> None:
    assert requests.get(f"{url}/api/health", timeout=10).status_code == 200


def test_l107_it_is_not_ready_without_a_worker(url: str) -> None:
    assert requests.get(f"{url}/api/ready", timeout=10).status_code == 503


def test_a_refusal_of_the_app_has_one_request_id_and_one_set_of_cors_headers(url: str) -> None:
    headers = {"Origin": FRONT_END, "X-Request-ID": "trace-0007"}
    answer = requests.get(f"{url}/api/tenants", headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.headers["X-Request-ID"] == "trace-0007"
    assert answer.json()["request_id"] == "trace-0007"
    assert answer.headers["Access-Control-Allow-Origin"] == FRONT_END


def test_l101_a_body_too_large_is_a_problem(url: str) -> None:
    answer = requests.post(f"{url}/api/auth/login", data=b"x" * 1_100_000, timeout=10)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_addresses_are_made_for_the_name_that_the_world_knows(url: str) -> None:
    document = requests.get(f"{url}/openapi.json", timeout=10)
    assert document.status_code == 200
    assert "127.0.0.1:5000" not in document.text
