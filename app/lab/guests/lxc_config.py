"""`/nodes/{node}/lxc/{vmid}/config`: read, changed at once or at the next start."""

from typing import Any

from app.lab import locks
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import config, creation, disks, drives, lookup, lxc_options, options, pending, properties, rights
from app.lab.state import Guest
from app.lab.storage import access
from app.lab.storage.words import words

Values = dict[str, str | int]

_NOT_CONFIG = frozenset(words("node vmid digest delete revert"))


@handler("GET", "/nodes/{node}/lxc/{vmid}/config")
def show(call: Call) -> Any:
    config.require_one_view(call.params)
    guest = lookup.guest_of(call, "lxc")
    if name := call.params.get("snapshot"):
        if name not in guest.snapshots:
            raise Refused(500, f"snapshot '{name}' does not exist")
        return config.shown("lxc", guest.snapshots[name].config) | {"digest": config.digest(guest)}
    return config.view(guest, current=bool(call.params.get("current")))


@handler("GET", "/nodes/{node}/lxc/{vmid}/pending")
def waiting(call: Call) -> Any:
    return config.pending_rows(lookup.guest_of(call, "lxc"))


def _require_known(call: Call, names: list[str], where: str) -> None:
    known = call.schema_of("PUT", "/nodes/{node}/lxc/{vmid}/config")
    for name in names:
        if name not in known and f"{options.family(name)}[n]" not in known and name != "parent":
            raise Refused.parameters({where: f"unknown option '{name}'"})


def _require_storages(call: Call, changes: Values) -> None:
    for key in drives.disk_keys("lxc", changes):
        volume = properties.parse_mount(str(changes[key])).get("volume", "")
        if rights.mount_type(volume) != "volume":
            continue
        storage, sep, _name = volume.partition(":")
        if not sep:
            raise Refused(500, f"unable to parse volume ID '{volume}'")
        access.enabled(call.world, storage, call.node)
        text = f"storage '{storage}' does not support container directories"
        access.require_content(call.world, storage, "rootdir", text)


@handler("PUT", "/nodes/{node}/lxc/{vmid}/config")
async def change(call: Call) -> Any:
    given: Values = {key: value for key, value in call.params.items() if key not in _NOT_CONFIG}
    delete = creation.split_lists(call.params.get("delete"))
    revert = creation.split_lists(call.params.get("revert"))
    if not (given or delete or revert):
        raise Refused(500, "no options specified")
    _require_known(call, revert, "revert")
    _require_known(call, delete, "delete")
    guest = lookup.guest_of(call, "lxc")
    unprivileged = bool(guest.config.get("unprivileged"))
    shown = config.with_pending(guest)
    rights.require_lxc_options(call, guest.vmid, None, shown, given, delete, unprivileged=unprivileged)
    _require_storages(call, given)
    try:
        async with locks.guest(call.world, "lxc", guest.vmid):
            await _carry_out(call, given, delete, revert)
    except (TaskFailed, locks.LockTimeout) as failure:
        raise Refused(500, str(failure)) from None


async def _carry_out(call: Call, given: Values, delete: list[str], revert: list[str]) -> None:
    guest = lookup.guest_of(call, "lxc")
    lookup.require_writable(call.world, guest)
    lookup.require_unlocked(guest)
    lookup.require_digest(call, guest)
    lxc_options.require_changeable(given, delete)
    for key in delete:
        _require_removable(guest, key)
    changes: Values = {}
    for key, value in given.items():
        if drives.is_mount(key):
            changes[key] = await disks.settle(call.world, call.node, "lxc", guest.vmid, key, str(value))
        elif key == "tags" and not str(value).strip():
            delete = [*delete, key]
        else:
            changes[key] = lxc_options.stored(key, value)
    config.revert(guest, revert)
    # A container forgets nothing that only waits: `delete` is about what it has, `revert` about the rest.
    had = [key for key in delete if key in guest.config]
    now, gone, later, late = config.split_by_time(guest, changes, had)
    pending.carry_out(call.world, guest, now, dict.fromkeys(gone, 1))
    config.put_off(guest, later, dict.fromkeys(late, 1))


def _require_removable(guest: Guest, key: str) -> None:
    if key not in guest.config:
        return
    if (drives.is_mount(key) or drives.is_unused(key)) and guest.config.get("protection"):
        raise Refused(500, f"can't remove CT {guest.vmid} drive '{key}' - protection mode enabled")
    if drives.is_unused(key) and disks.in_use(guest, str(guest.config[key]), key):
        raise Refused(500, f"unable to delete '{guest.config[key]}' - volume is still in use (snapshot?)")
