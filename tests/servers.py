"""Servers that tests start for themselves: own data, own port, gone afterwards. Debian's packages bring them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

POSTGRES_FOLDERS = Path("/usr/lib/postgresql")
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "America/St_Johns",  # far from UTC, so that a forgotten zone shows
}


def postgres_programs() -> Path | None:
    """The folder with `initdb` and `postgres` of the newest version that is installed."""
    on_path = shutil.which("initdb")
    found = sorted(POSTGRES_FOLDERS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return Path(on_path).parent if on_path else found[-1].parent if found else None


@contextmanager
def postgres(programs: Path, folder: Path) -> Iterator[str]:
    """Gives the URL of its database `postgres`, user `postgres`, who needs no password."""
    data, port, user = folder / "data", free_port(), _not_root()
    data.mkdir()
    if user:
        shutil.chown(data, user)
        _let_pass(folder)
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*map(str, initdb), "--locale=C"], check=True, capture_output=True, user=user, cwd="/")
    settings = [word for name, value in _FAST.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), *settings]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    with _running(command, folder / "postgres.log", user, lambda: psycopg.connect(url).close()):
        yield url


@contextmanager
def redis_server(program: str, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with _running(command, folder / "redis.log", None, lambda: _ping(url)):
        yield url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(command: Sequence[str], log: Path, user: str | None, answers: Callable[[], None]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, user=user, cwd="/")
    try:
        _until(answers, process, log)
        yield
    finally:
        process.terminate()  # postgres waits for its clients then; they are gone, or are cut after a moment
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(answers: Callable[[], None], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return answers()
        except (psycopg.OperationalError, redis.ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not answer: {log.read_text()[-2000:]}") from error
        time.sleep(0.05)


def _ping(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()


def _not_root() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def _let_pass(folder: Path) -> None:
    """pytest's folders are closed to everybody else; let the server's user through to its own."""
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
