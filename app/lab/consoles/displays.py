"""What VMs show: a text screen with root's shell on it, the same for all who look, from start to stop."""

from dataclasses import dataclass

from app.lab import clock
from app.lab.consoles.screen import Screen
from app.lab.consoles.shell import Shell
from app.lab.state import Guest, World


def name_of(guest: Guest) -> str:
    """The host name inside a guest."""
    default = f"CT{guest.vmid}" if guest.kind == "lxc" else f"VM{guest.vmid}"
    return str(guest.config.get("hostname" if guest.kind == "lxc" else "name") or default)


def shell_of(world: World, guest: Guest) -> Shell:
    """A new shell in a guest."""
    return shell_on(world, name_of(guest), guest.started_at or clock.now(world))


def shell_on(world: World, name: str, booted_at: float) -> Shell:
    """A new shell on a host that runs since this moment, in seconds since the epoch."""
    return Shell(name, lambda: clock.now(world) - booted_at, lambda: clock.now(world))


@dataclass(eq=False)
class Display:
    """A screen and the shell that is seen on it; who leaves the shell finds the next one."""

    name: str
    world: World
    since: float

    def __post_init__(self) -> None:
        self.screen = Screen()
        self._begin()

    def _begin(self) -> None:
        self._shell = shell_on(self.world, self.name, self.since)
        self.screen.write(f"{self.name} tty1\r\n\r\n{self._shell.prompt}")

    def type(self, keys: bytes) -> None:
        """Keys are pressed, as a terminal sends them."""
        self.screen.write(self._shell.feed(keys))
        if self._shell.over:
            self.screen.write("\r\n")
            self._begin()


def of_guest(world: World, guest: Guest) -> Display:
    """The display of a guest that runs."""
    since = guest.started_at or 0.0
    held = world.displays.get(guest.vmid)
    if not isinstance(held, Display) or held.since != since:
        held = world.displays[guest.vmid] = Display(name_of(guest), world, since)
    return held
