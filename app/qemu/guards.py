"""Whether a network is guarded: the hook that does it, deploy/libvirt_network_hook.py, tells in a file what stands."""

from __future__ import annotations

from pathlib import Path

from app.qemu.networks import Mode, Network

HOOK = Path("/etc/libvirt/hooks/network.d/poolhouse")
TOLD = Path("/run/poolhouse")


class Guards:
    """`hook` and `told` are where this host has them."""

    def __init__(self, hook: Path = HOOK, told: Path = TOLD) -> None:
        self._hook = hook
        self._told = told

    def installed(self) -> bool:
        return self._hook.is_file()

    def stands(self, network: Network) -> bool:
        """Exactly as it is given."""
        try:
            return (self._told / network.id.bridge).read_text() == told(network)
        except OSError:
            return False


def told(network: Network) -> str:
    """The hook's words for a network."""
    kind = "nat" if network.mode is Mode.NAT else "isolated"
    reaches = " ".join(map(str, network.reaches))
    head = f"{kind} {network.gateway}/{network.subnet.prefixlen} {reaches}".rstrip()
    lines = [f"{one.protocol} {one.address}:{one.port} {one.guest}:{one.guest_port}" for one in network.forwards]
    return "\n".join([head, *sorted(lines)]) + "\n"
