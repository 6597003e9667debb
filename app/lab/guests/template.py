"""`POST template`: a stopped guest without snapshots becomes a template, its disks base images."""

from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import disks, lookup
from app.lab.state import Guest
from app.lab.tasks import Task


def _require_plain(guest: Guest, running: str, *, again: bool = False) -> None:
    lookup.require_unlocked(guest)
    if guest.snapshots:
        raise Refused(500, f"unable to create template, because {lookup.NAMES[guest.kind]} contains snapshots")
    if guest.config.get("template") and not again:
        raise Refused(500, "you can't convert a template to a template")
    if guest.status == "running":
        raise Refused(500, running)


@handler("POST", "/nodes/{node}/qemu/{vmid}/template")
def template_vm(call: Call) -> Any:
    guest = lookup.guest_of(call, "qemu")
    _require_plain(guest, "you can't convert a VM to template if VM is running", again="disk" in call.params)

    async def work(task: Task) -> None:
        found = lookup.in_task(call.world, "qemu", call.node, guest.vmid)
        lookup.require_writable(call.world, found)
        await task.sleep(1)
        disks.to_base(call.world, call.node, "qemu", found.config, call.params.get("disk"))
        found.config["template"] = 1
        found.template = True

    return call.start_task("qmtemplate", str(guest.vmid), work)


@handler("POST", "/nodes/{node}/lxc/{vmid}/template")
def template_ct(call: Call) -> Any:
    """Answers null although a task runs (facts.md section 9)."""
    guest = lookup.guest_of(call, "lxc")
    _require_plain(guest, "you can't convert a CT to template if the CT is running")

    async def work(task: Task) -> None:
        found = lookup.in_task(call.world, "lxc", call.node, guest.vmid)
        lookup.require_writable(call.world, found)
        await task.sleep(1)
        disks.to_base(call.world, call.node, "lxc", found.config)
        found.config["template"] = 1
        found.template = True

    call.start_task("vztemplate", str(guest.vmid), work)
