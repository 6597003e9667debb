"""Lists of a node's guests, and what one of them is doing."""

from typing import Any

from app.lab.call import Call, handler
from app.lab.guests import figures, lookup
from app.lab.storage.words import words

_QEMU_PARTS = words(
    "agent cloudinit config firewall migrate monitor move mtunnel pending remote_migrate resize rrd rrddata sendkey "
    "snapshot spiceproxy status termproxy unlink vncproxy"
)
_LXC_PARTS = words(
    "config pending status vncproxy termproxy vncwebsocket spiceproxy migrate clone rrd rrddata firewall snapshot "
    "resize interfaces"
)


def _listing(kind: str) -> None:
    def listing(call: Call) -> Any:
        return [
            figures.row(call.world, guest)
            for guest in call.world.guests.values()
            if guest.kind == kind and guest.node == call.node and call.has(f"/vms/{guest.vmid}", "VM.Audit")
        ]

    def current(call: Call) -> Any:
        return figures.current(call.world, lookup.guest_of(call, kind))

    handler("GET", f"/nodes/{{node}}/{kind}")(listing)
    handler("GET", f"/nodes/{{node}}/{kind}/{{vmid}}/status/current")(current)


@handler("GET", "/nodes/{node}/qemu/{vmid}")
def qemu_index(_call: Call) -> Any:
    """PVE does not look whether the VM is there."""
    return [{"subdir": part} for part in _QEMU_PARTS]


@handler("GET", "/nodes/{node}/lxc/{vmid}")
def lxc_index(call: Call) -> Any:
    lookup.guest_of(call, "lxc")
    return [{"subdir": part} for part in _LXC_PARTS]


@handler("GET", "/nodes/{node}/qemu/{vmid}/status")
def qemu_status(call: Call) -> Any:
    lookup.guest_of(call, "qemu")
    return [{"subdir": part} for part in words("current start stop reset shutdown suspend reboot")]


@handler("GET", "/nodes/{node}/lxc/{vmid}/status")
def lxc_status(call: Call) -> Any:
    lookup.guest_of(call, "lxc")
    return [{"subdir": part} for part in words("current start stop shutdown migrate")]


for _kind in ("qemu", "lxc"):
    _listing(_kind)
