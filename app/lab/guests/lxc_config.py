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


def _is_known(call: Call, name: str) -> bool:
    known = call.schema_of("PUT", "/nodes/{node}/lxc/{vmid}/config")
    return name in known or f"{options.family(name)}[n]" in known or name == "parent"


def _require_apart(call: Call, given: Values, delete: list[str], revert: list[str]) -> None:
    """Options that are known, each named in one way only. Raises Refused 400."""
    for name in revert:
        if not _is_known(call, name):
            raise Refused.parameters({"revert": f"unknown option '{name}'"})
        if name in given:
            raise Refused.parameters({"revert": f"you can't use '-{name}' and '-revert {name}' at the same time"})
    for name in delete:
        if not _is_known(call, name):
            raise Refused.parameters({"delete": f"unknown option '{name}'"})
        if name in given:
            raise Refused.parameters({"delete": f"you can't use '-{name}' and -delete {name}' at the same time"})
        if name in revert:
            text = f"you can't use '-delete {name}' and '-revert {name}' at the same time"
            raise Refused.parameters({"delete": text})


def _require_storages(call: Call, guest: Guest, changes: Values) -> None:
    for key in drives.disk_keys("lxc", changes):
        if guest.config.get("protection"):
            raise Refused(500, f"can't update CT {guest.vmid} drive '{key}' - protection mode enabled")
        volume = properties.parse_mount(str(changes[key])).get("volume", "")
        if rights.mount_type(volume) != "volume":
            continue
        storage, sep, _name = volume.partition(":")
        if not sep:
            raise Refused(500, f"unable to parse volume ID '{volume}'")
        if "rootdir" not in access.contents(access.storage_of(call.world, storage)):
            raise Refused(500, f"storage '{storage}' does not allow content type 'rootdir' (Container)")


@handler("PUT", "/nodes/{node}/lxc/{vmid}/config")
async def change(call: Call) -> Any:
    given: Values = {key: value for key, value in call.params.items() if key not in _NOT_CONFIG}
    delete = creation.split_lists(call.params.get("delete"))
    revert = creation.split_lists(call.params.get("revert"))
    if not (given or delete or revert):
        raise Refused(500, "no options specified")
    try:
        async with locks.guest(call.world, "lxc", call.params["vmid"]):
            guest = lookup.guest_of(call, "lxc")
            lookup.require_unlocked(guest)
            lookup.require_digest(call, guest)
            _judge(call, guest, given, delete, revert)
            await _carry_out(call, guest, given, delete, revert)
    except (TaskFailed, locks.LockTimeout) as failure:
        raise Refused(500, str(failure)) from None


def _judge(call: Call, guest: Guest, given: Values, delete: list[str], revert: list[str]) -> None:
    """The caller's rights and the options, in PVE's order (pve-container: API2/LXC/Config.pm)."""
    shown, unprivileged = config.with_pending(guest), bool(guest.config.get("unprivileged"))
    rights.require_lxc_options(call, guest.vmid, None, shown, {}, [*delete, *revert], unprivileged=unprivileged)
    _require_apart(call, given, delete, revert)
    rights.require_lxc_options(call, guest.vmid, None, shown, given, (), unprivileged=unprivileged)
    lookup.require_writable(call.world, guest)
    lxc_options.require_changeable(given, delete)
    for key in delete:
        _require_removable(guest, key)
    _require_storages(call, guest, given)


async def _carry_out(call: Call, guest: Guest, given: Values, delete: list[str], revert: list[str]) -> None:
    """Apply and put off; a mount point that can not be made waits, and is told as a wrong parameter."""
    changes: Values = {}
    errors: dict[str, str] = {}
    verb = "unable to hotplug {}: " if guest.status == "running" else "unable to apply pending change {} : "
    for key, value in given.items():
        if drives.is_mount(key) and key != "rootfs":
            try:
                changes[key] = await disks.settle(call.world, call.node, "lxc", guest.vmid, key, str(value))
            except (TaskFailed, locks.LockTimeout) as failure:
                errors[key] = f"{verb.format(key)}{failure}\n"
                config.put_off(guest, {key: value}, {})
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
    if errors:
        raise Refused.parameters(errors)


def _require_removable(guest: Guest, key: str) -> None:
    if key in guest.config and (drives.is_mount(key) or drives.is_unused(key)) and guest.config.get("protection"):
        raise Refused(500, f"can't remove CT {guest.vmid} drive '{key}' - protection mode enabled")
