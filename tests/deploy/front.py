"""nginx and gunicorn with this repository's configurations, on free ports and in a folder of a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.servers import free_port

CHECKOUT = Path(__file__).parents[2]
_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def nginx_program() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def nginx(program: str, folder: Path, upstream: int, *, tls: str | None = None) -> Iterator[int]:
    """Gives the port where deploy/nginx.conf listens; `tls` is what stands in poolhouse-tls.conf."""
    folder.mkdir()
    port = free_port()
    (folder / "tls.conf").write_text(tls or "")
    (folder / "site.conf").write_text(_site(folder, port, upstream))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with _running(command, folder / "nginx.out"):
        wait_for(f"http://127.0.0.1:{port}/")
        yield port


@contextmanager
def gunicorn(folder: Path, app: str, environment: Mapping[str, str]) -> Iterator[int]:
    """Gives the port where gunicorn serves `app` with deploy/gunicorn.conf.py."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", str(CHECKOUT / "deploy" / "gunicorn.conf.py"), app]
    with _running(
        command, folder / "gunicorn.out", {**environment, "POOLHOUSE_PORT": str(port), "PYTHON_DOTENV_DISABLED": "1"}
    ):
        wait_for(f"http://127.0.0.1:{port}/")
        yield port


def wait_for(url: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            requests.get(url, timeout=5)
        except (requests.ConnectionError, requests.Timeout):
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return


def _site(folder: Path, port: int, upstream: int) -> str:
    text = (CHECKOUT / "deploy" / "nginx.conf").read_text()
    for here, there in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:80;", ""),
        ("server 127.0.0.1:5000;", f"server 127.0.0.1:{upstream};"),
        ("/etc/nginx/poolhouse-tls[.]conf", f"{folder}/tls[.]conf"),
    ):
        assert text.count(here) == 1, f"deploy/nginx.conf no longer has {here!r} once"
        text = text.replace(here, there)
    return text


@contextmanager
def _running(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=CHECKOUT, env={**os.environ, **(environment or {})}
        )
    try:
        yield
    except AssertionError as error:
        error.add_note(log.read_text())
        raise
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
