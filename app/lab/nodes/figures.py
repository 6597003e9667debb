"""A host's figures. The lab has no hosts, so their load is made up of what their guests are given."""

from typing import Any

from app.lab import clock
from app.lab.certificate import fingerprint
from app.lab.guests import figures
from app.lab.state import Guest, Node, World

_BASE_MEMORY = 1_600_000_000
_BASE_CPU = 0.02
_ROOT_USED = 25_498_385_476


def facts(node: Node) -> dict[str, Any]:
    """What everybody sees of a node."""
    return {
        "id": f"node/{node.name}",
        "type": "node",
        "node": node.name,
        "status": "online" if node.online else "offline",
        "level": node.level,
    }


def _running(world: World, node: Node) -> list[Guest]:
    return [guest for guest in world.guests.values() if guest.node == node.name and guest.status == "running"]


def memory_used(world: World, node: Node) -> int:
    """Bytes: the host's own and about half of what its running guests may use, as far as there is any."""
    return _memory_used(node, _running(world, node))


def _memory_used(node: Node, running: list[Guest]) -> int:
    guests = sum([figures.memory(guest) for guest in running]) // 2
    return min(node.memory * 19 // 20, _BASE_MEMORY + guests)


def cpu(world: World, node: Node) -> float:
    """The busy share of all CPUs."""
    return _cpu(world, node, _running(world, node))


def _cpu(world: World, node: Node, running: list[Guest]) -> float:
    return min(0.95, round(_BASE_CPU + 0.01 * len(running) / node.cpus + int(clock.now(world)) % 5 / 1000, 4))


def uptime(world: World, node: Node) -> int:
    return max(0, int(clock.now(world) - node.booted_at))


def load(world: World, node: Node) -> dict[str, Any]:
    """CPU share, sizes in bytes, seconds: what needs Sys.Audit."""
    running = _running(world, node)
    return {
        "cpu": _cpu(world, node, running),
        "maxcpu": node.cpus,
        "mem": _memory_used(node, running),
        "maxmem": node.memory,
        "disk": _ROOT_USED,
        "maxdisk": node.root_size,
        "uptime": uptime(world, node),
    }


def certificate_print(world: World) -> str:
    """The fingerprint of the certificate that all nodes show here."""
    return fingerprint(world.certificate) if world.certificate else ""


def root_used(node: Node) -> int:
    return min(_ROOT_USED, node.root_size)
