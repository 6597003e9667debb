"""A VM's monitor and its keyboard."""

from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import figures, lookup


@handler("POST", "/nodes/{node}/qemu/{vmid}/monitor")
def command(call: Call) -> Any:
    guest = lookup.guest_of(call, "qemu")
    if guest.status != "running":
        return f"ERROR: VM {guest.vmid} not running\n"
    answers = {
        "info status": f"VM status: {'paused' if guest.paused else 'running'}\n",
        "info version": "10.1.2pve-qemu-kvm_10.1.2-1\n",
        "info name": f"{figures.name(guest)}\n",
    }
    asked = call.params["command"].strip()
    return answers.get(asked, f"unknown command: '{asked}'\n")


@handler("PUT", "/nodes/{node}/qemu/{vmid}/sendkey")
def send_key(call: Call) -> Any:
    lookup.require_root_skiplock(call)
    guest = lookup.guest_of(call, "qemu")
    if guest.status != "running":
        raise Refused(500, f"VM {guest.vmid} not running")
