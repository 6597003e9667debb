from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import front


@pytest.fixture(scope="session")
def nginx_program() -> str:
    program = front.nginx_program()
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    return program


@pytest.fixture(scope="session")
def echo_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with front.gunicorn(tmp_path_factory.mktemp("echo") / "web", "tests.deploy.echo:app", {}) as port:
        yield port


@pytest.fixture(scope="session")
def front_url(nginx_program: str, echo_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with front.nginx(nginx_program, tmp_path_factory.mktemp("front") / "nginx", echo_port) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def orphaned_url(nginx_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx whose web process is away."""
    folder: Path = tmp_path_factory.mktemp("orphaned") / "nginx"
    with front.nginx(nginx_program, folder, front.free_port()) as port:
        yield f"http://127.0.0.1:{port}"
