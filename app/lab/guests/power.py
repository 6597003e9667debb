"""Guests started, stopped, shut down, rebooted, paused and woken: `status/...` of both kinds."""

from typing import Any

from app.lab import clock, locks, tasks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.consoles import proxies
from app.lab.guests import creation, drives, lookup, pending, ports
from app.lab.state import Guest, World
from app.lab.storage import volumes
from app.lab.tasks import Task

_LOCK_FOLDERS = {"qemu": "qemu-server", "lxc": "lxc"}
_SHUTDOWN_SECONDS = 1.0
_FORK_SECONDS = 0.25
"""Who looks right after a creation with start=1 sees the guest still stopped: PVE has to fork its next worker."""


def switch_on(world: World, guest: Guest) -> None:
    """The guest runs from now on, with what was pending applied."""
    pending.apply(world, guest)
    guest.status, guest.paused, guest.started_at = "running", False, clock.now(world)
    if guest.config.get("lock") == "suspended":
        _wake(world, guest)
    ports.open_later(world, guest)


def _wake(world: World, guest: Guest) -> None:
    """A suspended VM takes its saved memory back."""
    guest.config.pop("lock", None)
    if state := guest.config.pop("vmstate", None):
        volumes.remove(world, guest.node, str(state))


def switch_off(world: World, guest: Guest) -> None:
    """The guest is off; a VM takes over what was pending (qmeventd cleans up), a container only when it starts."""
    guest.status, guest.paused, guest.started_at = "stopped", False, None
    if guest.kind == "qemu":
        pending.apply(world, guest)
    ports.close(world, guest)
    proxies.disconnect(world, f"/vms/{guest.vmid}")


def _require_disks(world: World, guest: Guest) -> None:
    for key, volid in drives.volumes(guest.kind, guest.config):
        if not drives.is_unused(key) and key != "vmstate":
            volumes.require_there(world, guest.node, volid)


def _not_in_task(world: World, kind: str, node: str, vmid: int) -> Guest:
    guest = lookup.find(world, kind, node, vmid)
    if guest is None:
        raise TaskFailed(lookup.missing_vm(node, vmid))
    return guest


async def start(
    world: World, task: Task, kind: str, node: str, vmid: int, *, skiplock: bool = False, pause: float = 0
) -> None:
    """Start a guest within a task; what forbids it fails the task. `pause` are seconds of ours, whatever the scale."""
    async with locks.guest(world, kind, vmid):
        guest = lookup.in_task(world, kind, node, vmid)
        if not skiplock and guest.config.get("lock") != "suspended":
            lookup.unlocked_in_task(guest)
        if guest.config.get("template"):
            raise TaskFailed(f"you can't start a {'CT' if kind == 'lxc' else 'vm'} if it's a template")
        if guest.status == "running":
            raise TaskFailed(f"{lookup.NAMES[kind]} {vmid} already running")
        _require_disks(world, guest)
        await clock.pause(world, pause)
        await task.sleep(2)
        switch_on(world, guest)


def start_later(call: Call, kind: str, vmid: int) -> None:
    """Start a guest in a task of its own, as creation and rollback do when they are done."""

    async def work(task: Task) -> None:
        await start(call.world, task, kind, call.node, vmid, pause=_FORK_SECONDS)

    call.start_task("qmstart" if kind == "qemu" else "vzstart", str(vmid), work)


async def stop(
    world: World, task: Task, kind: str, node: str, vmid: int, *, seconds: float = 1.0, skiplock: bool = False
) -> None:
    """Stop a guest within a task; a stopped VM is no error, whatever its lock."""
    async with locks.guest(world, kind, vmid):
        guest = lookup.in_task(world, kind, node, vmid) if kind == "lxc" else _not_in_task(world, kind, node, vmid)
        if guest.status == "running":
            if kind == "qemu" and not skiplock:
                lookup.unlocked_in_task(guest)
            await task.sleep(seconds)
            switch_off(world, guest)


def _require_running(call: Call, kind: str) -> None:
    """The sync refusals of calls for a guest that is not running."""
    vmid = call.params["vmid"]
    guest = lookup.find(call.world, kind, call.node, vmid)
    if guest is None and kind == "qemu":
        raise Refused(500, lookup.missing_vm(call.node, vmid))
    if guest is None or guest.status != "running":
        raise Refused(500, f"{lookup.NAMES[kind]} {vmid} not running")


def _require_root_options(call: Call, *options: str) -> None:
    for option in options:
        if call.params.get(option) and not call.who.is_root:
            raise Refused.parameters({option: "Only root may use this option."})


@handler("POST", "/nodes/{node}/qemu/{vmid}/status/start")
def start_vm(call: Call) -> Any:
    _require_root_options(call, "stateuri")
    skip, vmid = lookup.require_root_skiplock(call), call.params["vmid"]
    _require_root_options(call, "migratedfrom", "migration_type", "migration_network", "targetstorage")
    _require_root_options(call, "force-cpu", "with-conntrack-state", "nets-host-mtu")
    if call.params.get("targetstorage") and not call.params.get("migratedfrom"):
        raise Refused.parameters({"targetstorage": "targetstorage can only by used with migratedfrom."})
    creation.require_quorum(call)

    async def work(task: Task) -> None:
        await start(call.world, task, "qemu", call.node, vmid, skiplock=skip)

    return call.start_task("qmstart", str(vmid), work)


@handler("POST", "/nodes/{node}/lxc/{vmid}/status/start")
def start_ct(call: Call) -> Any:
    skip, vmid = lookup.require_root_skiplock(call), call.params["vmid"]
    creation.require_quorum(call)
    guest = lookup.find(call.world, "lxc", call.node, vmid)
    if guest and guest.status == "running":
        raise Refused(500, f"CT {vmid} already running")

    async def work(task: Task) -> None:
        await start(call.world, task, "lxc", call.node, vmid, skiplock=skip)

    return call.start_task("vzstart", str(vmid), work)


@handler("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
def stop_vm(call: Call) -> Any:
    skip, vmid = lookup.require_root_skiplock(call), call.params["vmid"]
    _require_root_options(call, "keepActive", "migratedfrom")

    async def work(task: Task) -> None:
        await stop(call.world, task, "qemu", call.node, vmid, skiplock=skip)

    return call.start_task("qmstop", str(vmid), work)


@handler("POST", "/nodes/{node}/lxc/{vmid}/status/stop")
def stop_ct(call: Call) -> Any:
    skip = lookup.require_root_skiplock(call)
    _require_running(call, "lxc")
    vmid = call.params["vmid"]

    async def work(task: Task) -> None:
        if not skip:
            lookup.unlocked_in_task(lookup.in_task(call.world, "lxc", call.node, vmid))
        await stop(call.world, task, "lxc", call.node, vmid)

    return call.start_task("vzstop", str(vmid), work)


async def shut_down(call: Call, task: Task, kind: str, vmid: int) -> None:
    """Ask the guest to go; one that does not obey fails the task after the timeout, or is stopped with forceStop."""
    guest = lookup.find(call.world, kind, call.node, vmid)
    skip = bool(call.params.get("skiplock"))
    if guest and guest.status == "running" and not skip and (kind == "qemu" or not call.path.endswith("reboot")):
        lookup.unlocked_in_task(guest)
    if guest and guest.status == "running" and guest.deaf and not guest.paused:
        await task.sleep(float(call.params.get("timeout", 60)))
        if not call.params.get("forceStop"):
            raise TaskFailed("VM quit/powerdown failed - got timeout" if kind == "qemu" else "container did not stop")
        task.log("VM quit/powerdown failed - terminating now with SIGTERM")
    await stop(call.world, task, kind, call.node, vmid, seconds=_SHUTDOWN_SECONDS, skiplock=skip)


def _require_awake(call: Call) -> None:
    """A paused VM would obey a shutdown only when it is woken, at a time when nobody wants it any more."""
    guest = lookup.find(call.world, "qemu", call.node, call.params["vmid"])
    if guest and guest.paused and not call.params.get("forceStop"):
        raise Refused(500, "VM is paused - cannot shutdown")


def _shutdown(kind: str, task_type: str) -> None:
    def shutdown(call: Call) -> Any:
        if kind == "lxc":
            _require_running(call, kind)
        else:
            lookup.require_root_skiplock(call)
            _require_root_options(call, "keepActive")
            _require_awake(call)
        vmid = call.params["vmid"]

        async def work(task: Task) -> None:
            await shut_down(call, task, kind, vmid)

        return call.start_task(task_type, str(vmid), work)

    handler("POST", f"/nodes/{{node}}/{kind}/{{vmid}}/status/shutdown")(shutdown)


async def _start_again(call: Call, vmid: int) -> None:
    """A rebooted VM comes back by a task of root's: the node's event daemon starts what has shut down."""

    async def work(task: Task) -> None:
        await start(call.world, task, "qemu", call.node, vmid, skiplock=True)

    upid = tasks.start(call.world, call.node, "qmstart", str(vmid), "root@pam", work, vmid)
    await call.world.running[upid].ended(600)


def _reboot(kind: str, task_type: str) -> None:
    def reboot(call: Call) -> Any:
        vmid = call.params["vmid"]
        guest = lookup.find(call.world, kind, call.node, vmid)
        if kind == "qemu":
            _require_awake(call)
        if guest is None and kind == "qemu":
            raise Refused(500, lookup.missing_vm(call.node, vmid))
        if guest is None or guest.status != "running":
            raise Refused(500, f"VM {vmid} not running")

        async def work(task: Task) -> None:
            await shut_down(call, task, kind, vmid)
            if kind == "qemu":
                await _start_again(call, vmid)
            else:
                await start(call.world, task, kind, call.node, vmid, skiplock=True)

        return call.start_task(task_type, str(vmid), work)

    handler("POST", f"/nodes/{{node}}/{kind}/{{vmid}}/status/reboot")(reboot)


def _pausing(action: str, task_type: str, paused: bool | None) -> None:
    """suspend, resume and reset of VMs: only where they run; done twice is no error."""

    def act(call: Call) -> Any:
        skip = lookup.require_root_skiplock(call)
        _require_root_options(call, "nocheck")
        guest = lookup.find(call.world, "qemu", call.node, call.params["vmid"])
        asleep = guest is not None and guest.config.get("lock") == "suspended"
        if not (action == "resume" and asleep):
            _require_running(call, "qemu")
        if action == "suspend" and call.params.get("todisk"):
            return _to_disk(call)

        async def work(task: Task) -> None:
            found = lookup.in_task(call.world, "qemu", call.node, call.params["vmid"])
            if asleep:
                await task.sleep(2)
                switch_on(call.world, found)
                return
            if not skip and (action == "reset" or found.config.get("lock") != "backup"):
                lookup.unlocked_in_task(found)
            if paused is not None:
                found.paused = paused

        return call.start_task(task_type, str(call.params["vmid"]), work)

    handler("POST", f"/nodes/{{node}}/qemu/{{vmid}}/status/{action}")(act)


def _checkpoint(action: str, options: str, *, running: bool) -> None:
    """suspend and resume of containers, which need a program that PVE does not bring: the task fails."""

    def act(call: Call) -> Any:
        vmid = call.params["vmid"]
        guest = lookup.find(call.world, "lxc", call.node, vmid)
        if (guest is not None and guest.status == "running") != running:
            raise Refused(500, f"CT {vmid} {'not' if running else 'already'} running")

        async def work(_task: Task) -> None:
            if running:
                lookup.unlocked_in_task(lookup.in_task(call.world, "lxc", call.node, vmid))
            raise TaskFailed(f"command 'lxc-checkpoint -n {vmid} {options}' failed: exit code 1")

        return call.start_task(f"vz{action}", str(vmid), work)

    handler("POST", f"/nodes/{{node}}/lxc/{{vmid}}/status/{action}")(act)


def _to_disk(call: Call) -> str:
    """Suspend a VM to disk: it stops, its memory lies on a storage, its lock says so."""
    vmid = call.params["vmid"]
    call.require(f"/vms/{vmid}", "VM.Config.Disk")
    found = lookup.guest_of(call, "qemu")
    storage = call.params.get("statestorage") or pending.state_storage(call.world, found)
    call.require(f"/storage/{storage}", "Datastore.AllocateSpace")

    async def work(task: Task) -> None:
        guest = lookup.in_task(call.world, "qemu", call.node, vmid)
        lookup.unlocked_in_task(guest)
        await task.sleep(2)
        day = clock.date(call.world)
        volid = pending.save_memory(call.world, guest, f"vm-{vmid}-state-suspend-{day}", storage)
        switch_off(call.world, guest)
        guest.config |= {"lock": "suspended", "vmstate": volid}

    return call.start_task("qmsuspend", str(vmid), work)


for _kind, _types in (("qemu", ("qmshutdown", "qmreboot")), ("lxc", ("vzshutdown", "vzreboot"))):
    _shutdown(_kind, _types[0])
    _reboot(_kind, _types[1])
_pausing("suspend", "qmpause", True)
_pausing("resume", "qmresume", False)
_pausing("reset", "qmreset", None)
_checkpoint("suspend", "-s -D /var/lib/vz/dump", running=True)
_checkpoint("resume", "-r --foreground -D /var/lib/vz/dump", running=False)
