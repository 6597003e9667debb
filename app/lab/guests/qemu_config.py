"""`/nodes/{node}/qemu/{vmid}/config` and its kin: read, changed at once or later, unlinked."""

from collections.abc import Awaitable, Callable
from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import (
    config,
    creation,
    disks,
    drives,
    hotplug,
    lookup,
    options,
    pending,
    properties,
    qemu_options,
    rights,
    tags,
)
from app.lab.state import Guest
from app.lab.storage.words import words
from app.lab.tasks import Task

Values = dict[str, str | int]

_NOT_CONFIG = frozenset(
    words("node vmid digest delete revert skiplock force background_delay import-working-storage idlist")
)


@handler("GET", "/nodes/{node}/qemu/{vmid}/config")
def show(call: Call) -> Any:
    config.require_one_view(call.params)
    guest = lookup.guest_of(call, "qemu")
    if name := call.params.get("snapshot"):
        if name not in guest.snapshots:
            raise Refused(500, f"snapshot '{name}' does not exist")
        return config.shown("qemu", guest.snapshots[name].config) | {"digest": config.digest(guest)}
    return config.view(guest, current=bool(call.params.get("current")))


@handler("GET", "/nodes/{node}/qemu/{vmid}/pending")
def waiting(call: Call) -> Any:
    return config.pending_rows(lookup.guest_of(call, "qemu"))


def _require_known(call: Call, names: list[str], where: str) -> None:
    known = call.schema_of("POST", "/nodes/{node}/qemu")
    for name in names:
        family = options.family(name)
        if name not in known and f"{family}[n]" not in known and name not in ("lock", "vmstate", "parent"):
            raise Refused.parameters({where: f"unknown option '{name}'"})


class Change:
    """A change of a VM's configuration that was asked for: what to set, to delete and to revert."""

    def __init__(self, call: Call, delete: str | None, *, force: bool) -> None:
        self.call, self.force = call, force
        self.given: Values = {key: value for key, value in call.params.items() if key not in _NOT_CONFIG}
        self.delete = ["ide2" if name == "cdrom" else name for name in creation.split_lists(delete)]
        self.revert = creation.split_lists(call.params.get("revert"))
        self.skiplock = lookup.require_root_skiplock(call)

    def judge(self) -> None:
        """The checks that PVE makes before it looks at the guest."""
        call, vmid = self.call, self.call.params["vmid"]
        if not (self.given or self.delete or self.revert):
            raise Refused(500, "no options specified")
        self.given = qemu_options.with_cdrom(self.given)
        for name in self.revert:
            _require_known(call, [name], "revert")
            _require_apart(name in self.given, "delete", f"-{name}", f"-revert {name}")
        for name in self.delete:
            _require_apart(name in self.given, "delete", f"-{name}", f"-delete {name}")
            _require_apart(name in self.revert, "revert", f"-delete {name}", f"-revert {name}")
            _require_known(call, [name], "delete")
        rights.require_qemu_options(call, vmid, None, [*self.delete, *self.given])
        rights.require_qemu_drives(call, vmid, self.given, None)
        old = lookup.find(call.world, "qemu", call.node, vmid)
        rights.require_bridges(call, "qemu", self.given, old.config if old else None)
        prefix = str(call.world.options.get("mac_prefix", "BC:24:11"))
        self.given = {key: qemu_options.stored(key, value, prefix) for key, value in self.given.items()}

    def judge_guest(self) -> Guest:
        """The checks under the guest's lock."""
        guest = lookup.guest_of(self.call, "qemu")
        lookup.require_writable(self.call.world, guest)
        lookup.require_digest(self.call, guest)
        if not self.skiplock:
            lookup.require_unlocked(guest)
        known = config.with_pending(guest) | self.given
        most = int(str(known.get("memory", 512)).removeprefix("current="))
        if {"balloon", "memory"} & set(self.given) and int(known.get("balloon", 0)) > most:
            raise Refused(500, "balloon value too large (must be smaller than assigned memory)")
        return guest

    async def carry_out(self, guest: Guest) -> None:
        """Check what depends on the old values, make disks, and apply or put off. Raises Refused, TaskFailed."""
        call, world = self.call, self.call.world
        self._require_values(guest)
        qemu_options.require_one_cloudinit(self.given, _without(guest.config, self.delete))
        changes: Values = {}
        for key, value in self.given.items():
            if drives.is_drive(key):
                changes[key] = await disks.settle(world, call.node, "qemu", guest.vmid, key, str(value))
            else:
                changes[key] = value
        changes |= self._boot_order(guest)
        if "machine" not in (*self.given, *self.delete, *guest.pending):
            pinned = qemu_options.pinned(self.given.get("ostype"), guest.config.get("machine"))
            changes |= {"machine": pinned} if pinned else {}
        config.revert(guest, self.revert)
        if text := call.unwritable():
            raise Refused(500, text)
        errors = hotplug.problems(guest, changes)
        now, gone, later, late = config.split_by_time(guest, changes, self.delete)
        force = 2 if self.force else 1
        pending.carry_out(world, guest, now, dict.fromkeys(gone, force))
        config.put_off(guest, later, dict.fromkeys(late, force))
        if errors:
            raise Refused.parameters(errors)

    def _boot_order(self, guest: Guest) -> Values:
        """The boot order as it is from now on: what it names is there, and a new CD drive goes to its end."""
        old, given = str(config.with_pending(guest).get("boot", "")), self.given.get("boot")
        devices = drives.boot_devices(str(given) if given is not None else old)
        if given is not None:
            for name in devices:
                if (name not in config.with_pending(guest) and name not in self.given) or name in self.delete:
                    raise Refused(500, f"invalid bootorder: device '{name}' does not exist'")
            return {"boot": drives.written_order(devices)} if devices else {}
        fresh = [key for key in self.given if drives.is_drive(key) and key not in devices and _is_cd(self.given[key])]
        return {"boot": drives.written_order([*devices, *fresh])} if devices and fresh else {}

    def _require_values(self, guest: Guest) -> None:
        call, vmid = self.call, guest.vmid
        for key in self.delete:
            if drives.is_drive(key) and key in guest.config:
                _require_unprotected(guest, f"can't remove drive '{key}'")
                _require_drive(call, vmid, str(guest.config[key]))
            elif drives.is_unused(key) and key in guest.config:
                _require_unprotected(guest, f"can't remove unused disk '{guest.config[key]}'")
                rights.require_vm(call, vmid, None, "VM.Config.Disk")
                if disks.in_use(guest, str(guest.config[key]), key):
                    raise Refused(500, f"unable to delete '{guest.config[key]}' - volume is still in use (snapshot?)")
            elif key == "tags":
                tags.require_change(call, vmid, str(guest.config.get("tags", "")), "")
            elif options.checked_by_value(key) and key in guest.config:
                _require_device(call, vmid, key, str(guest.config[key]), "delete")
        for key, value in self.given.items():
            if drives.is_drive(key):
                if key in guest.config:
                    _require_drive(call, vmid, str(guest.config[key]))
                _require_drive(call, vmid, str(value))
            elif key == "tags":
                tags.require_change(call, vmid, str(guest.config.get("tags", "")), str(value))
            elif options.checked_by_value(key):
                for text in (guest.config.get(key), value):
                    if text is not None:
                        _require_device(call, vmid, key, str(text), "modify")


def _is_cd(value: str | int) -> bool:
    drive = properties.parse_drive(str(value))
    return properties.is_cdrom(drive) and not drives.is_cloudinit(drive)


def _require_apart(both: bool, where: str, first: str, second: str) -> None:
    if both:
        raise Refused.parameters({where: f"you can't use '{first}' and {second}' at the same time"})


def _without(values: Values, names: list[str]) -> Values:
    return {key: value for key, value in values.items() if key not in names}


def _require_unprotected(guest: Guest, text: str) -> None:
    if guest.config.get("protection"):
        raise Refused(500, f"{text} - protection mode enabled")


def _require_drive(call: Call, vmid: int, value: str) -> None:
    if drives.is_cloudinit(properties.parse_drive(value)):
        rights.require_vm(call, vmid, None, "VM.Config.Cloudinit", "VM.Config.CDROM")
    else:
        rights.require_vm(call, vmid, None, "VM.Config.CDROM" if _is_cd(value) else "VM.Config.Disk")


def _require_device(call: Call, vmid: int, key: str, value: str, verb: str) -> None:
    """The right to a device; of real serial ports PVE says what is done to them."""
    try:
        rights.require_qemu_devices(call, vmid, None, {key: value})
    except Refused as refusal:
        text = refusal.message.replace("can set", f"can {verb}") if options.family(key) == "serial" else refusal.message
        raise Refused(refusal.status, text, refusal.errors) from None


async def _under_lock(call: Call, change: Change, act: Callable[[Guest], Awaitable[Any]]) -> Any:
    """Check the guest under its lock and act. Lock time-outs and failures are refusals here."""
    try:
        async with locks.guest(call.world, "qemu", call.params["vmid"]):
            return await act(change.judge_guest())
    except (TaskFailed, locks.LockTimeout) as failure:
        raise Refused(500, str(failure)) from None


@handler("PUT", "/nodes/{node}/qemu/{vmid}/config")
async def change_now(call: Call) -> Any:
    change = Change(call, call.params.get("delete"), force=bool(call.params.get("force")))
    change.judge()
    lookup.guest_of(call, "qemu")
    await _under_lock(call, change, change.carry_out)


@handler("PUT", "/nodes/{node}/qemu/{vmid}/unlink")
async def unlink(call: Call) -> Any:
    change = Change(call, call.params["idlist"], force=bool(call.params.get("force")))
    change.judge()
    lookup.guest_of(call, "qemu")
    await _under_lock(call, change, change.carry_out)


@handler("POST", "/nodes/{node}/qemu/{vmid}/config")
async def change_in_task(call: Call) -> Any:
    change = Change(call, call.params.get("delete"), force=bool(call.params.get("force")))
    change.judge()
    lookup.guest_of(call, "qemu")

    async def dispatch(guest: Guest) -> str:
        async def work(_task: Task) -> None:
            try:
                async with locks.guest(call.world, "qemu", guest.vmid):
                    await change.carry_out(guest)
            except Refused as refusal:
                raise rights.as_failure(refusal) from None

        return call.start_task("qmconfig", str(guest.vmid), work)

    upid = await _under_lock(call, change, dispatch)
    delay, failure = call.params.get("background_delay", 0), f"failed to update VM {call.params['vmid']}: "
    return await call.wait_briefly(upid, delay, failure)
