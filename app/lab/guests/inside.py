"""What a guest agent does inside its VM: programs of the small shell, which end at once, and files that are kept.

The texts of failures are those of QEMU's guest agent.
"""

import binascii
import shlex
from base64 import b64decode
from dataclasses import dataclass, field

from app.lab.consoles.displays import name_of, shell_of
from app.lab.state import Guest, World

_SHELLS = ("sh", "bash")


class AgentFailed(Exception):
    """The agent has refused, with this text."""


@dataclass(frozen=True)
class Ended:
    """A program that has run."""

    code: int
    output: str = ""
    errors: str = ""


@dataclass(eq=False)
class Inside:
    """The files of one VM, and the programs since its start whose ends nobody has asked for."""

    world: World
    guest: Guest
    files: dict[str, str] = field(default_factory=dict)
    since: float | None = None
    _ended: dict[int, Ended] = field(default_factory=dict)
    _last_pid: int = 600

    def started(self) -> None:
        """Nothing that ran before the VM's last start runs on."""
        if self.since != self.guest.started_at:
            self.since, self._last_pid = self.guest.started_at, 600
            self._ended.clear()

    def execute(self, words: list[str], given: str) -> int:
        """Run a program with this input; returns its process id. Raises AgentFailed where there is none."""
        ended = self._run(words, given)
        if ended is None:
            why = f'Failed to execute child process "{"".join(words[:1])}" (No such file or directory)'
            raise AgentFailed(f"Guest agent command failed, error was '{why}'")
        self._last_pid += 1
        self._ended[self._last_pid] = ended
        return self._last_pid

    def result(self, pid: int) -> Ended:
        """How a program ended; the agent tells it once. Raises AgentFailed where it knows of none."""
        if pid not in self._ended:
            raise AgentFailed("Invalid parameter 'pid'")
        return self._ended.pop(pid)

    def read(self, path: str) -> str:
        """The content of a file. Raises AgentFailed where there is none."""
        content = self._content(path)
        if content is None:
            raise AgentFailed(f"failed to open file '{path}': No such file or directory")
        return content

    def write(self, path: str, content: str, *, encoded: bool) -> None:
        """Keep a file, its content given in base64 if `encoded`. Raises AgentFailed where it is none."""
        try:
            self.files[path] = b64decode(content, validate=True).decode("utf-8", "replace") if encoded else content
        except binascii.Error:
            raise AgentFailed(f"Base64 data '{content}' is not valid") from None

    def _content(self, path: str) -> str | None:
        made = {"/etc/hostname": f"{name_of(self.guest)}\n"}
        return self.files.get(path, made.get(path))

    def _run(self, words: list[str], given: str) -> Ended | None:
        program, rest = "".join(words[:1]).rpartition("/")[2], words[1:]
        if program in _SHELLS:
            return self._run_line(program, rest, given)
        if program == "cat":
            return self._cat(rest, given)
        if program == "false":
            return Ended(1)
        output = shell_of(self.world, self.guest).output([program, *rest])
        return None if output is None else Ended(0, output)

    def _run_line(self, shell: str, rest: list[str], given: str) -> Ended:
        """`sh -c LINE`, or a line of input; a single command without redirections."""
        line = rest[1] if rest[:1] == ["-c"] and len(rest) > 1 else given
        try:
            words = shlex.split(line)
        except ValueError:
            return Ended(2, errors=f"{shell}: 1: Syntax error: Unterminated quoted string\n")
        if not words:
            return Ended(0)
        return self._run(words, "") or Ended(127, errors=f"{shell}: 1: {words[0]}: not found\n")

    def _cat(self, paths: list[str], given: str) -> Ended:
        found = [(path, self._content(path)) for path in paths]
        missing = [f"cat: {path}: No such file or directory\n" for path, content in found if content is None]
        output = "".join(content or "" for _, content in found) if paths else given
        return Ended(int(bool(missing)), output, "".join(missing))


def of_guest(world: World, guest: Guest) -> Inside:
    """The inside of a VM that runs."""
    held = world.insides.get(guest.vmid)
    if not isinstance(held, Inside) or held.guest is not guest:
        held = world.insides[guest.vmid] = Inside(world, guest)
    held.started()
    return held
