"""deploy/system-packages.sh, on a machine that has next to nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.deploy.front import CHECKOUT


def test_root_on_debian_installs_what_is_missing(tmp_path: Path) -> None:
    ended = _run(tmp_path, user=0, apt='echo "$@" >> $0.calls')
    assert ended.returncode == 0
    update, install = (tmp_path / "apt-get.calls").read_text().splitlines()
    assert update.startswith("update")
    assert install.startswith("install -y")
    assert {"make", "python3-venv", "curl", "redis-server", "libvirt-clients", "swtpm"} <= set(install.split())


def test_anybody_else_is_told_and_goes_on(tmp_path: Path) -> None:
    ended = _run(tmp_path, user=1000, apt="exit 1")
    assert ended.returncode == 0
    assert "redis-server" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_installation_that_fails_stops_nothing(tmp_path: Path) -> None:
    """Without a network the tests that need these programs are skipped, and say so."""
    ended = _run(tmp_path, user=0, apt="echo no network >&2; exit 100")
    assert ended.returncode == 0
    assert "no network" in ended.stderr
    assert "Could not install" in ended.stderr


def _run(folder: Path, *, user: int, apt: str) -> subprocess.CompletedProcess[str]:
    for name, body in (("id", f"echo {user}"), ("apt-get", apt)):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    for name in ("ls", "mktemp", "rm", "tail"):
        (folder / name).symlink_to(str(shutil.which(name)))
    script = str(CHECKOUT / "deploy" / "system-packages.sh")
    return subprocess.run(["/bin/sh", script], env={"PATH": str(folder)}, capture_output=True, text=True)
