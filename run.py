"""Poolhouse on this machine with one command, for development and for a first look: `make run`.

Starts the lab, brings the database up, makes the first administrator, then runs the web process and a worker, and
starts again what dies. SIGINT or SIGTERM ends them all, the lab last. Settings: .env.example; everything that it keeps
is in POOLHOUSE_STATE_DIR (./var).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

try:
    from dotenv import load_dotenv
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
except ImportError as missing:
    sys.exit(f"The environment is not complete ({missing.name} is missing): start with `make run`.")

from app.cli.processes import GRACE, CommandFailed, Processes
from app.config import Settings, SettingsError

CHECKOUT = Path(__file__).resolve().parent
POOLHOUSE, GUNICORN = (str(Path(sys.executable).parent / name) for name in ("poolhouse", "gunicorn"))

_PATIENCE = 40.0

console = Console(highlight=False)


@dataclass(frozen=True)
class Lab:
    """Where the lab of this house listens, and what it keeps."""

    host: str
    port: int
    control_port: int
    folder: Path
    keep: Path
    time_scale: float
    password: str

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "lab.crt"

    def command(self) -> list[str]:
        return [
            POOLHOUSE, "lab", "--host", self.host, "--port", str(self.port), "--control-port", str(self.control_port),
            "--state", "demo", "--keep", str(self.keep), "--cert-dir", str(self.folder),
            "--time-scale", f"{self.time_scale:g}",
        ]  # fmt: skip

    def accepts(self) -> bool:
        try:
            trusted = ssl.create_default_context(cafile=str(self.certificate))
            with socket.create_connection((self.host, self.port), 1) as plain:
                trusted.wrap_socket(plain, server_hostname=self.host).close()
        except OSError:
            return False
        return True


class Readiness:
    """Asks /api/ready, and says from time to time what is still missing. It gives up in the end, so that nobody waits
    for the panel for ever: a cluster that is away may be away for long."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/ready"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._told = time.monotonic()
        self._deadline = self._told + _PATIENCE

    def is_settled(self) -> bool:
        return self._is_ready() or time.monotonic() > self._deadline

    def _is_ready(self) -> bool:
        try:
            with self._opener.open(self._url, timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            reason = error.read(2000).decode(errors="replace")
        except OSError as error:
            reason = str(error)
        if time.monotonic() - self._told > 15:
            self._told = time.monotonic()
            console.print(f"Not ready yet: {reason}", markup=False, soft_wrap=True)
        return False


def main() -> int:
    about = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about.parse_args()
    os.chdir(CHECKOUT)
    load_dotenv(".env")
    os.environ.setdefault("POOLHOUSE_MODE", "development")
    state = Path(os.environ.get("POOLHOUSE_STATE_DIR") or "var").resolve()
    os.environ["POOLHOUSE_STATE_DIR"] = str(state)
    _make_private(state, state / "log", state / "lab")
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        fail(str(error))
    left_over = _claim(state)
    lab = _lab(settings, state) if settings.lab else None
    _require_free([(settings.host, settings.port, "POOLHOUSE_PORT"), *_lab_ports(lab)], GRACE if left_over else 0)
    processes = Processes(state / "log", say)
    try:
        _run(processes, settings, lab, state)
    except CommandFailed as error:
        fail(str(error))
    finally:
        processes.stop()
        (state / "run.lock").write_text("")
    return 0


def _run(processes: Processes, settings: Settings, lab: Lab | None, state: Path) -> None:
    """Returns when SIGINT or SIGTERM has come."""
    if lab is not None:
        os.environ["POOLHOUSE_LAB_PASSWORD"] = lab.password
        processes.add("lab", lab.command())
    if processes.run([POOLHOUSE, "db", "upgrade"]) is None or not _is_there(lab, processes):
        return
    processes.add("web", [GUNICORN, "-c", "deploy/gunicorn.conf.py", "--graceful-timeout", "10", "wsgi:app"])
    processes.add("worker", [POOLHOUSE, "worker"])
    to_lab = [] if lab is None else ["--lab", lab.url, "--ca-file", str(lab.certificate)]
    seeded = processes.run([POOLHOUSE, "seed", "--json", *to_lab])
    if seeded is None:
        return
    password = json.loads(seeded)["admin_password_generated"]
    url = f"http://{_reachable(settings.host)}:{settings.port}"
    try:
        processes.keep_running(Readiness(url).is_settled)
    finally:
        # also when it never became ready: nobody can show this password again
        console.print(_panel(url, lab, state, password, given=settings.admin_password is not None))
    processes.keep_running(every=0.2)
    console.print("Stopping ...")


def _is_there(lab: Lab | None, processes: Processes) -> bool:
    return lab is None or processes.keep_running(lab.accepts)


def _panel(url: str, lab: Lab | None, state: Path, password: str | None, *, given: bool) -> Panel:
    rows = [("API", f"{url}/api"), ("Swagger UI", f"{url}/docs"), ("Log in as", "admin")]
    if password is not None:
        rows.append(("Password", f"{password}  (shown this once)"))
    elif given:
        rows.append(("Password", "as in POOLHOUSE_ADMIN_PASSWORD at the first start"))
    else:
        rows.append(("Password", "as shown at the first start"))
    if lab is not None:
        rows.append(("Lab", f"{lab.url}  (root@pam, password in {lab.folder / 'password'})"))
        rows.append(("Lab control", f"http://{lab.host}:{lab.control_port}/__lab__/"))
    rows += [("Logs", str(state / "log")), ("Stop", "Ctrl-C; all state is kept")]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title="Poolhouse", expand=False)


def _lab(settings: Settings, state: Path) -> Lab:
    folder = state / "lab"
    if settings.lab_password is not None:
        _keep_password(folder / "password", settings.lab_password)
    elif not (folder / "password").exists():
        _keep_password(folder / "password", secrets.token_urlsafe(18))
    return Lab(
        host="127.0.0.1",
        port=settings.lab_port,
        control_port=settings.lab_control_port or settings.lab_port + 1,
        folder=folder,
        keep=state / "lab.json",
        time_scale=settings.lab_time_scale,
        password=(folder / "password").read_text(),
    )


def _keep_password(path: Path, password: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as kept:
        kept.write(password)


def _lab_ports(lab: Lab | None) -> list[tuple[str, int, str]]:
    if lab is None:
        return []
    return [(lab.host, lab.port, "POOLHOUSE_LAB_PORT"), (lab.host, lab.control_port, "POOLHOUSE_LAB_CONTROL_PORT")]


def _make_private(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            fail(f"Cannot keep state in {folder} ({error.strerror}): set POOLHOUSE_STATE_DIR to a folder of yours.")
    if not os.access(folders[0], os.W_OK):
        fail(f"Cannot write into {folders[0]}: set POOLHOUSE_STATE_DIR to a folder of yours.")


def _claim(state: Path) -> bool:
    """Hold the state folder as long as we live. True where the one before us was killed, and its children may still
    be ending."""
    handle = os.open(state / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    before = os.read(handle, 32).decode().strip()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail(f"Poolhouse runs on {state} already (process {before}): stop it, or set POOLHOUSE_STATE_DIR.")
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return bool(before)


def _require_free(ports: Sequence[tuple[str, int, str]], patience: float) -> None:
    deadline = time.monotonic() + patience
    for host, port, setting in ports:
        while (why := _taken(host, port)) is not None:
            if time.monotonic() > deadline:
                fail(f"Cannot listen on {host} port {port} ({why}): stop what uses it, or set {setting}.")
            time.sleep(0.2)


def _taken(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _reachable(host: str) -> str:
    """A host for a URL: who listens on all addresses is reached on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def say(who: str, what: str) -> None:
    console.print(f"{who:>6} | {what}", markup=False, soft_wrap=True)


def fail(reason: str) -> NoReturn:
    console.print(reason, markup=False, soft_wrap=True)
    raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main())
