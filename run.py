"""Poolhouse on this machine with one command, for development and for a first look: `make run`.

Starts the lab, brings the database up, makes the first administrator, then runs the web process and a worker, and
starts again what dies. SIGINT or SIGTERM ends them all, the lab last. Settings: .env.example; everything that it keeps
is in POOLHOUSE_STATE_DIR (./var).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

try:
    from dotenv import load_dotenv
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
except ImportError as missing:
    sys.exit(f"The environment is not complete ({missing.name} is missing): start with `make run`.")

from app.config import Settings, SettingsError

CHECKOUT = Path(__file__).resolve().parent
PROGRAMS = Path(sys.executable).parent
_LONGEST_DELAY = 8.0
_SETTLED_AFTER = 30.0
_GRACE = 13.0  # with the lab's, below the 20 s within which everything has ended
_LAB_GRACE = 4.0
_LOG_BYTES = 20 << 20
_PDEATHSIG = 1  # prctl(2), PR_SET_PDEATHSIG

console = Console(highlight=False)


@dataclass(frozen=True)
class Lab:
    """Where the lab of this house listens, and what it keeps."""

    host: str
    port: int
    control_port: int
    folder: Path
    keep: Path
    time_scale: str
    password: str

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    def command(self) -> list[str]:
        return [
            *program("poolhouse"), "lab", "--host", self.host, "--port", str(self.port),
            "--control-port", str(self.control_port), "--state", "demo", "--keep", str(self.keep),
            "--cert-dir", str(self.folder), "--time-scale", self.time_scale,
        ]  # fmt: skip

    def accepts(self) -> bool:
        if not self.certificate.exists():
            return False
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        try:
            with socket.create_connection((self.host, self.port), 1) as plain:
                trusted.wrap_socket(plain, server_hostname=self.host).close()
        except OSError:
            return False
        return True


@dataclass
class Child:
    """A process that must run. It has a process group of its own, so that a terminal's Ctrl-C reaches only us."""

    name: str
    command: Sequence[str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = 0.5
    due: float = field(default_factory=time.monotonic)


class House:
    """All children of this process. `ending` is set by SIGINT and SIGTERM."""

    def __init__(self, logs: Path) -> None:
        self.ending = threading.Event()
        self._logs = logs
        self._children: list[Child] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: self.ending.set())

    def add(self, name: str, command: Sequence[str]) -> None:
        child = Child(name, command, _open_log(self._logs / f"{name}.log"))
        self._children.append(child)
        self._start(child)

    def keep_running(self, until: Callable[[], bool], every: float = 0.1) -> bool:
        """Start again what dies, until something is so. False where the house ends before."""
        while not self.ending.wait(every):
            for child in self._children:
                self._look_after(child)
            if until():
                return True
        return False

    def run(self, *arguments: str) -> str | None:
        """Run `poolhouse ...` to its end; what it printed, or None where the house ends before. Exits on failure."""
        process = _spawn([*program("poolhouse"), *arguments], stderr=subprocess.PIPE)
        answer: list[tuple[bytes, bytes]] = []
        reader = threading.Thread(target=lambda: answer.append(process.communicate()), daemon=True)
        reader.start()
        if not self.keep_running(lambda: not reader.is_alive(), every=0.02):
            _kill_group(process, _GRACE)
            return None
        printed, complaint = (part.decode(errors="replace").strip() for part in answer[0])
        if process.returncode:
            fail(complaint.removeprefix("Error: ") or f"`poolhouse {arguments[0]}` failed.")
        return printed

    def stop(self) -> None:
        """End all children, the lab last: its clients find it there, and it writes down its last state."""
        others = [child for child in self._children if child.name != "lab"]
        lab = [child for child in self._children if child.name == "lab"]
        for group, grace in ((others, _GRACE), (lab, _LAB_GRACE)):
            running = [child.process for child in group if child.process is not None]
            for process in running:
                process.terminate()
            deadline = time.monotonic() + grace
            for process in running:
                _kill_group(process, deadline - time.monotonic())

    def _start(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = _spawn(child.command, stderr=subprocess.STDOUT)
        threading.Thread(target=_copy_output, args=(child, child.process.stdout), daemon=True).start()

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due:
                self._start(child)
            return
        if child.process.poll() is None:
            return
        _kill_group(child.process, 0)
        settled = now - child.started > _SETTLED_AFTER
        child.delay = 0.5 if settled else min(2 * child.delay, _LONGEST_DELAY)
        child.due = now + child.delay
        ended = child.process.returncode
        how = f"was killed ({signal.Signals(-ended).name})" if ended < 0 else f"ended with exit status {ended}"
        say(child.name, f"{how}; it starts again in {child.delay:.0f} s. Its log: {child.log.name}")
        child.process = None


def main() -> int:
    os.chdir(CHECKOUT)
    load_dotenv(".env")
    os.environ.setdefault("POOLHOUSE_MODE", "development")
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        fail(str(error))
    state = settings.state_dir.resolve()
    _make_private(state, state / "log", state / "lab")
    left_over = _claim(state)
    lab = _lab(os.environ, state) if os.environ.get("POOLHOUSE_LAB", "1") != "0" else None
    web_port = (settings.host, settings.port, "POOLHOUSE_PORT")
    _require_free([web_port, *_lab_ports(lab)], patience=_GRACE if left_over else 0)

    house = House(state / "log")
    try:
        return _run(house, settings, lab, state)
    finally:
        house.stop()
        (state / "run.lock").write_text("")


def _run(house: House, settings: Settings, lab: Lab | None, state: Path) -> int:
    if lab is not None:
        os.environ["POOLHOUSE_LAB_PASSWORD"] = lab.password
        house.add("lab", lab.command())
    if house.run("db", "upgrade") is None or (lab is not None and not house.keep_running(lab.accepts)):
        return 0
    seed = [] if lab is None else ["--lab", lab.url, "--ca-file", str(lab.certificate)]
    seeded = house.run("seed", "--json", *seed)
    if seeded is None:
        return 0
    password = json.loads(seeded)["admin_password_generated"]
    configuration = str(CHECKOUT / "deploy" / "gunicorn.conf.py")
    house.add("web", [*program("gunicorn"), "-c", configuration, "--graceful-timeout", "10", "wsgi:app"])
    house.add("worker", [*program("poolhouse"), "worker"])
    url = f"http://{_shown(settings.host)}:{settings.port}"
    try:
        ready = house.keep_running(_Readiness(url).is_ready)
    finally:
        # also when it never becomes ready: nobody can show this password again
        console.print(_panel(url, lab, state, password, given=bool(settings.admin_password)))
    if ready:
        house.keep_running(lambda: False, every=0.2)
    console.print("Stopping ...")
    return 0


class _Readiness:
    """Asks /api/ready, and says from time to time what is still missing."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/ready"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._told = time.monotonic()

    def is_ready(self) -> bool:
        try:
            with self._opener.open(self._url, timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            reason = error.read(2000).decode(errors="replace")
        except OSError as error:
            reason = str(error)
        if time.monotonic() - self._told > 15:
            self._told = time.monotonic()
            console.print(f"Not ready yet: {reason}", markup=False)
        return False


def _panel(url: str, lab: Lab | None, state: Path, password: str | None, *, given: bool) -> Panel:
    rows = [("API", f"{url}/api"), ("Swagger UI", f"{url}/docs"), ("Log in as", "admin")]
    if password is not None:
        rows.append(("Password", f"{password}  (shown this once)"))
    elif given:
        rows.append(("Password", "as in POOLHOUSE_ADMIN_PASSWORD"))
    else:
        rows.append(("Password", "as shown at the first start"))
    if lab is not None:
        rows.append(("Lab", f"{lab.url}  (root@pam, password: {lab.folder / 'password'})"))
        rows.append(("Lab control", f"http://{lab.host}:{lab.control_port}/__lab__/"))
    rows += [("Logs", str(state / "log")), ("Stop", "Ctrl-C; all state is kept")]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title="Poolhouse", expand=False)


def _lab(environ: Mapping[str, str], state: Path) -> Lab:
    port = int(environ.get("POOLHOUSE_LAB_PORT") or 8006)
    folder = state / "lab"
    return Lab(
        host="127.0.0.1",
        port=port,
        control_port=int(environ.get("POOLHOUSE_LAB_CONTROL_PORT") or port + 1),
        folder=folder,
        keep=state / "lab.json",
        time_scale=environ.get("POOLHOUSE_LAB_TIME_SCALE") or "1",
        password=environ.get("POOLHOUSE_LAB_PASSWORD") or _kept_password(folder / "password"),
    )


def _lab_ports(lab: Lab | None) -> list[tuple[str, int, str]]:
    if lab is None:
        return []
    return [(lab.host, lab.port, "POOLHOUSE_LAB_PORT"), (lab.host, lab.control_port, "POOLHOUSE_LAB_CONTROL_PORT")]


def _kept_password(path: Path) -> str:
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(18))
    return path.read_text().strip()


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
    before = os.read(handle, 32).decode()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail(f"Poolhouse runs on {state} already (process {before}): stop it, or set POOLHOUSE_STATE_DIR.")
    os.pwrite(handle, str(os.getpid()).encode().ljust(len(before)), 0)
    return bool(before.strip())


def _require_free(ports: Sequence[tuple[str, int, str]], patience: float) -> None:
    deadline = time.monotonic() + patience
    for host, port, setting in ports:
        while (why := _taken(host, port)) is not None:
            if time.monotonic() > deadline:
                fail(f"Cannot listen on {host} port {port} ({why}): stop what uses it, or set {setting}.")
            time.sleep(0.2)


def _taken(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None


def _spawn(command: Sequence[str], *, stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )


_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """Linux ends the child in its own way when we are killed with no chance to tell it."""
    if sys.platform == "linux":
        _libc.prctl(_PDEATHSIG, signal.SIGTERM)


def _kill_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """Wait for a process that was told to end; then nothing of its group is left."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, grace))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _copy_output(child: Child, output: IO[bytes]) -> None:
    for line in output:
        child.log.write(line)
        text = line.decode(errors="replace").rstrip()
        if _is_worth_showing(text):
            say(child.name, text)


def _is_worth_showing(line: str) -> bool:
    """Everything but the routine that the processes log as JSON."""
    try:
        level = json.loads(line)["level"]
    except (ValueError, KeyError, TypeError):
        return bool(line)
    return level not in {"debug", "info"}


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab", buffering=0)


def _shown(host: str) -> str:
    """A host for a URL: who listens on all addresses is reached on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def program(name: str) -> list[str]:
    return [str(PROGRAMS / name)]


def say(who: str, what: str) -> None:
    console.print(f"{who:>6} | {what}", markup=False, soft_wrap=True)


def fail(reason: str) -> NoReturn:
    console.print(reason, markup=False, soft_wrap=True)
    raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main())
