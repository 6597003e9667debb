"""A very small shell: the inside of a guest as far as a console shows it."""

import codecs
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_LONGEST_LINE = 4096
_ROOT = "bin  boot  dev  etc  home  lib  media  mnt  opt  proc  root  run  sbin  srv  sys  tmp  usr  var"
_CLEAR = "\x1b[H\x1b[2J"


@dataclass
class Shell:
    """root's shell on a host of this name. `uptime` and `now` tell seconds, the latter since the epoch.

    What goes in are keys as a terminal sends them; what comes out is what the terminal shows: text, CR, LF, BS and
    the sequence that clears it.
    """

    name: str
    uptime: Callable[[], float]
    now: Callable[[], float]
    over: bool = False
    _line: str = ""
    _escape: str = ""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    @property
    def prompt(self) -> str:
        return f"root@{self.name}:~# "

    def feed(self, keys: bytes) -> str:
        """Take keys in UTF-8, cut anywhere; returns what is shown for them."""
        shown = []
        for char in self._decoder.decode(keys):
            if self.over:
                break
            shown.append(self._key(char))
        return "".join(shown)

    def output(self, words: list[str]) -> str | None:
        """What a program writes when it runs without a terminal, its lines ended by LF; None: there is no such one."""
        known = _COMMANDS.get(words[0])
        if known is None:
            return None
        said = known(self, words[1:])
        return "" if said is None else f"{said}\n"

    def _key(self, char: str) -> str:
        if self._escape or char == "\x1b":
            return self._escaped(char)
        if char in "\r\n":
            return self._entered()
        if char in "\x7f\b":
            return self._rubbed_out(1)
        if char in _CONTROLS:
            return _CONTROLS[char](self)
        if not char.isprintable() or len(self._line) >= _LONGEST_LINE:
            return "\a"
        self._line += char
        return char

    def _escaped(self, char: str) -> str:
        """Arrows and their like are swallowed: ESC, `[` or `O`, and everything up to a letter or `~`."""
        if char == "\x1b":
            self._escape = char
        elif self._escape == "\x1b" and char in "[O":
            self._escape += char
        elif self._escape == "\x1b" or "@" <= char <= "~" or not char.isprintable():
            self._escape = ""
        return ""

    def _rubbed_out(self, count: int) -> str:
        count = min(count, len(self._line))
        self._line = self._line[: len(self._line) - count]
        return "\b \b" * count

    def _interrupted(self) -> str:
        self._line = ""
        return f"^C\r\n{self.prompt}"

    def _ended(self) -> str:
        if self._line:
            return "\a"
        self.over = True
        return "logout\r\n"

    def _cleared(self) -> str:
        return f"{_CLEAR}{self.prompt}{self._line}"

    def _killed(self) -> str:
        return self._rubbed_out(len(self._line))

    def _entered(self) -> str:
        words, self._line = self._line.split(), ""
        said = self._run(words[0], words[1:]) if words else ""
        return f"\r\n{said}" if self.over else f"\r\n{said}{self.prompt}"

    def _run(self, command: str, rest: list[str]) -> str:
        if command in ("exit", "logout"):
            self.over = True
            return "logout\r\n"
        if command == "clear":
            return _CLEAR
        known = _COMMANDS.get(command)
        if known is None:
            return f"-bash: {command}: command not found\r\n"
        said = known(self, rest)
        return f"{said}\r\n" if said is not None else ""

    def _date(self) -> str:
        return time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(self.now()))

    def _uptime(self) -> str:
        minutes = int(self.uptime()) // 60
        days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
        lasted = f"{hours}:{minutes:02}" if hours else f"{minutes} min"
        up = f"{days} day{'s' if days > 1 else ''}, {lasted}" if days else lasted
        return (
            f" {time.strftime('%H:%M:%S', time.gmtime(self.now()))} up {up},  1 user,  load average: 0.00, 0.00, 0.00"
        )

    def _listing(self, rest: list[str]) -> str | None:
        paths = [word for word in rest if not word.startswith("-")] or ["~"]
        if paths[0] in ("~", ".", "/root"):
            return None
        return _ROOT if paths[0] == "/" else f"ls: cannot access '{paths[0]}': No such file or directory"


_CONTROLS: dict[str, Callable[[Shell], str]] = {
    "\x03": Shell._interrupted,
    "\x04": Shell._ended,
    "\x0c": Shell._cleared,
    "\x15": Shell._killed,
}
_COMMANDS: dict[str, Callable[[Shell, list[str]], str | None]] = {
    "date": lambda shell, rest: shell._date(),
    "echo": lambda shell, rest: " ".join(rest),
    "help": lambda shell, rest: " ".join(sorted([*_COMMANDS, "clear", "exit", "logout"])),
    "hostname": lambda shell, rest: shell.name,
    "id": lambda shell, rest: "uid=0(root) gid=0(root) groups=0(root)",
    "ls": Shell._listing,
    "pwd": lambda shell, rest: "/root",
    "true": lambda shell, rest: None,
    "uname": lambda shell, rest: f"Linux {shell.name} x86_64 GNU/Linux" if "-a" in rest else "Linux",
    "uptime": lambda shell, rest: shell._uptime(),
    "whoami": lambda shell, rest: "root",
}
