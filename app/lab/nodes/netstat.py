"""`/nodes/{node}/netstat`: what the network devices of the host's running guests have carried, as strings."""

import re
from typing import Any

from app.lab.call import Call, handler
from app.lab.guests import figures

_DEVICE = re.compile(r"net\d+")


@handler("GET", "/nodes/{node}/netstat")
def netstat(call: Call) -> Any:
    """A row for each device; a guest's bytes are shared out evenly among its devices."""
    rows = []
    for guest in call.world.guests.values():
        if guest.node == call.node and guest.status == "running":
            devices, load = sorted(filter(_DEVICE.fullmatch, guest.config)), figures.load(call.world, guest)
            rows += [
                {"vmid": str(guest.vmid), "dev": device}
                | {way: str(int(load[f"net{way}"]) // len(devices)) for way in ("in", "out")}
                for device in devices
            ]
    return rows
