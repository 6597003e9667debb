"""`/cluster/backup`: backup jobs, kept but never run by themselves; and the guests that none covers."""

import uuid
from typing import Any

from app.lab import clock
from app.lab.call import Call, Refused, handler
from app.lab.guests import creation, drives, figures
from app.lab.state import Guest, World

_SELECTIONS = ("all", "vmid", "pool")
_NAMED = {"qemu": "name", "lxc": "hostname"}


def _failed(errors: dict[str, str]) -> Refused:
    """A parameter error that PVE raises inside its lock: 500, with the real text in the following lines."""
    lines = [f"{name}: {text}" for name, text in errors.items()]
    return Refused(500, "\n".join(["400 Parameter verification failed.", *lines]))


def _row(world: World, job: dict[str, Any], *, listing: bool) -> dict[str, Any]:
    row = dict(job)
    if written := row.get("prune-backups"):
        row["prune-backups"] = dict(part.split("=", 1) for part in str(written).split(","))
    row.pop("vmid", None) if row.get("vmid") == "" else None
    return row | ({"next-run": int(clock.now(world)) // 86_400 * 86_400 + 86_400} if listing else {})


def _values(params: dict[str, Any]) -> dict[str, Any]:
    left_out = ("id", "delete", "starttime", "dow", "digest")
    return {key: value for key, value in params.items() if key not in left_out}


def _schedule(params: dict[str, Any]) -> str | None:
    if params.get("schedule"):
        return str(params["schedule"])
    if params.get("starttime"):
        days = params.get("dow")
        return f"{days} {params['starttime']}" if days else str(params["starttime"])
    return None


def _require_one_selection(job: dict[str, Any]) -> None:
    if job.get("all") and job.get("vmid"):
        raise _failed({"all": "option conflicts with option 'vmid'"})
    if not any(job.get(key) for key in _SELECTIONS):
        raise _failed({"vmid": "property is missing"})


@handler("GET", "/cluster/backup")
def listing(call: Call) -> Any:
    return [_row(call.world, job, listing=True) for job in call.world.backup_jobs.values()]


@handler("POST", "/cluster/backup")
def create(call: Call) -> Any:
    params = call.params
    schedule = _schedule(params)
    if schedule is None:
        raise Refused.parameters({"schedule": "neither 'starttime' nor 'schedule' were set"})
    name = params.get("id") or f"backup-{uuid.uuid4()}"
    if name in call.world.backup_jobs:
        raise Refused(500, f"Job '{name}' already exists")
    job = {"enabled": 1} | _values(params) | {"id": name, "type": "vzdump", "schedule": schedule}
    _require_one_selection(job)
    call.world.backup_jobs[name] = job


@handler("GET", "/cluster/backup/{id}")
def show(call: Call) -> Any:
    job = call.world.backup_jobs.get(call.params["id"])
    if job is None:
        raise Refused.parameters({"id": f"No such job '{call.params['id']}'"})
    return _row(call.world, job, listing=False)


@handler("PUT", "/cluster/backup/{id}")
def change(call: Call) -> Any:
    params = call.params
    if not (set(params) - {"id"}):
        raise Refused(500, "no options specified")
    job = call.world.backup_jobs.get(params["id"])
    if job is None:
        raise Refused(500, "no such vzdump job")
    known = call.schema_of("POST", "/cluster/backup")
    changed = dict(job)
    for name in creation.split_lists(params.get("delete")):
        if name not in known:
            raise _failed({"delete": f"unknown option '{name}'"})
        changed.pop(name, None)
    given = _values(params)
    if schedule := _schedule(params):
        given["schedule"] = schedule
    for selection in _SELECTIONS:
        if given.get(selection):
            for other in (*_SELECTIONS, "exclude"):
                if other != selection and not (selection != "vmid" and other == "exclude"):
                    changed.pop(other, None)
    changed |= given
    _require_one_selection(changed)
    call.world.backup_jobs[params["id"]] = changed


@handler("DELETE", "/cluster/backup/{id}")
def remove(call: Call) -> Any:
    if call.params["id"] not in call.world.backup_jobs:
        raise _failed({"id": f"No such job '{call.params['id']}'"})
    call.world.backup_jobs.pop(call.params["id"])


def _covered(world: World, job: dict[str, Any]) -> list[Guest]:
    """The guests of a job that are there."""
    ids = {int(part) for part in creation.split_lists(job.get("vmid"))}
    left_out = {int(part) for part in creation.split_lists(job.get("exclude"))}
    pool = world.pools.get(str(job.get("pool")))
    return [
        guest
        for guest in world.guests.values()
        if (job.get("all") or guest.vmid in ids or (pool and guest.vmid in pool.vms))
        and guest.vmid not in left_out
        and job.get("node") in (None, guest.node)
    ]


@handler("GET", "/cluster/backup/{id}/included_volumes")
def included(call: Call) -> Any:
    job = call.world.backup_jobs.get(call.params["id"])
    if job is None:
        raise Refused.parameters({"id": f"No such job '{call.params['id']}'"})
    children = []
    for guest in _covered(call.world, job):
        disks = [_included(guest, key) for key in drives.disk_keys(guest.kind, guest.config)]
        children.append({"id": guest.vmid, "name": figures.name(guest), "type": guest.kind, "children": disks})
    return {"children": children}


def _included(guest: Guest, key: str) -> dict[str, Any]:
    disk = drives.parse_disk(guest.kind, str(guest.config[key]))
    inside = disk.get("backup", "1" if guest.kind == "qemu" or key == "rootfs" else "0") == "1"
    reason = "enabled" if inside else "disabled"
    return {"id": key, "name": disk.get("file", ""), "included": int(inside), "reason": reason}


@handler("GET", "/cluster/backup-info")
def info_index(_call: Call) -> Any:
    return [{"subdir": "not-backed-up"}]


@handler("GET", "/cluster/backup-info/not-backed-up")
def not_covered(call: Call) -> Any:
    """The guests, templates too, that no job would take, with the name that their own file gives them."""
    world = call.world
    covered = {guest.vmid for job in world.backup_jobs.values() for guest in _covered(world, job)}
    return [
        {"vmid": guest.vmid, "name": guest.config.get(_NAMED[guest.kind]), "type": guest.kind}
        for guest in world.guests.values()
        if guest.vmid not in covered and call.has(f"/vms/{guest.vmid}", "VM.Audit")
    ]
