"""A libvirtd of the tests' own: in namespaces of its own (files, network, processes), so that it shares neither state
nor bridges nor firewall with this host, and everything that it started ends with it."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_SCRIPT = CHECKOUT / "deploy" / "local-qemu.sh"

#: pid 1 of the namespaces. What libvirt has compiled in gets a folder of ours; $1 is where those folders are.
_INSIDE = """
set -eu
for folder in /etc/libvirt /var/lib/libvirt /run/libvirt /var/log/libvirt /var/cache/libvirt; do
    mkdir -p $folder $1$folder
done
cp -a /etc/libvirt/. $1/etc/libvirt/
cp -a /var/lib/libvirt/. $1/var/lib/libvirt/
rm -rf $1/etc/libvirt/qemu/networks/autostart
for folder in /etc/libvirt /var/lib/libvirt /run/libvirt /var/log/libvirt /var/cache/libvirt; do
    mount --bind $1$folder $folder
done
ip link set lo up
touch $1/ready
exec tini -- sleep infinity
"""


def why_not() -> str | None:
    """The reason why none can be started here; None: it can."""
    if os.geteuid() != 0:
        return "needs root (namespaces, bridges)"
    missing = subprocess.run(["sh", _SCRIPT, "packages"], capture_output=True, text=True, check=False).stdout.split()
    if missing:
        return f"apt-get install {' '.join(missing)}"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "apt-get install util-linux"
    probe = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    if probe.returncode:
        return f"no namespaces can be made: {probe.stderr.decode().strip()}"
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return "libvirt's Python binding is not installed: make qemu"
    return None


class Libvirtd:
    """`uri` reaches it from outside."""

    def __init__(self, root: Path, keeper: subprocess.Popen[bytes]) -> None:
        self.root = root
        self._keeper = keeper
        self._states = 0
        self.uri = f"qemu+unix:///system?socket={root}/run/libvirt/libvirt-sock"

    @classmethod
    def start(cls) -> Libvirtd:
        root = Path(tempfile.mkdtemp(prefix="phq-", dir="/tmp"))
        root.chmod(0o711)
        flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        keeper = subprocess.Popen(["unshare", *flags, "sh", "-c", _INSIDE, "sh", str(root)])
        it = cls(root, keeper)
        try:
            wait_for(lambda: (root / "ready").exists(), "the namespaces")
            it.start_daemon()
        except BaseException:
            it.stop()
            raise
        return it

    def state_dir(self) -> Path:
        """A new state folder that QEMU's user may pass through, as `make qemu` makes one."""
        self._states += 1
        state = self.root / f"s{self._states}"
        group = grp.getgrnam("libvirt-qemu").gr_gid
        for folder, mode in ((state, 0o710), (state / "qemu", 0o2710)):
            folder.mkdir()
            os.chown(folder, -1, group)
            folder.chmod(mode)
        return state

    @property
    def told(self) -> Path:
        """Where its hook says what stands: /run is shared with this host, network ids are unique."""
        return Path("/run/poolhouse")

    @property
    def hook(self) -> Path:
        return self.root / "etc/libvirt/hooks/network.d/poolhouse"

    def start_daemon(self) -> None:
        """As `make qemu` does; harmless where it runs."""
        done = self.run("sh", str(_SCRIPT), "start", str(self.root / "state"), check=False)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()[-2000:]

    def kill_daemon(self) -> None:
        """-9, the daemon alone."""
        self.run("sh", "-c", "kill -9 $(cat /run/libvirt/libvirtd.pid)")

    def run(self, *command: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command where the daemon is: it sees its bridges, its processes and its files."""
        inside = ["nsenter", f"--target={self._inside()}", "--mount", "--net", "--pid"]
        # Not by pipes: the daemons that a command leaves behind would hold them open.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(
                [*inside, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=timeout
            )
            out.seek(0)
            text = out.read()
        assert not check or done.returncode == 0, (command, text)
        return subprocess.CompletedProcess(command, done.returncode, text, "")

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        inside = ["nsenter", f"--target={self._inside()}", "--mount", "--net", "--pid"]
        return subprocess.Popen([*inside, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def log(self) -> str:
        path = self.root / "var/log/libvirt/libvirtd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """The kernel ends every process of the namespaces with its first."""
        self._keeper.send_signal(signal.SIGKILL)
        self._keeper.wait()
        for _ in range(50):
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                return
            time.sleep(0.1)

    def _inside(self) -> int:
        """The pid that the namespaces' first process has out here."""
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text().split()
        return int(children[0])


def wait_for(ready: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not come within {seconds:g} s"
        time.sleep(0.05)
