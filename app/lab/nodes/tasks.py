"""`/nodes/{node}/tasks`: what tasks there were, how they ended, what they said (pve-manager: API2/Tasks.pm)."""

import re
from collections.abc import Iterator
from typing import Any

from app.lab.access.rights import Identity
from app.lab.access.users import split
from app.lab.call import Call, Refused, Reply, handler
from app.lab.state import TaskRecord

_UPID = re.compile(
    r"UPID:[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s]+:[^:\s]*:[^:\s]+:"
)
_NO_FILE = [{"n": 1, "t": "unable to open file - No such file or directory"}]


def is_own(record: TaskRecord, who: Identity) -> bool:
    """A token owns its own tasks, a user also those of his tokens, once they are over."""
    if record.status == "running":
        return who.name == _name(record.upid)
    return who.user == record.user and who.token in (None, record.tokenid)


def head(record: TaskRecord) -> dict[str, Any]:
    """What the UPID says."""
    token = {"tokenid": record.tokenid} if record.tokenid else {}
    return {
        "upid": record.upid,
        "node": record.node,
        "starttime": record.starttime,
        "type": record.type,
        "id": record.id,
        "user": record.user,
    } | token


def outcome(record: TaskRecord) -> dict[str, Any]:
    """In lists the status is the exit status."""
    if record.status == "running":
        return {"status": "RUNNING"}
    return {"status": record.exitstatus, "endtime": record.endtime}


def _listed(record: TaskRecord) -> dict[str, Any]:
    """A row of a node's list, in which a token's name stays with its user's while the task runs (facts.md 12)."""
    row = head(record) | {"pid": record.pid, "pstart": record.pstart} | outcome(record)
    if record.status == "running":
        row["user"] = _name(record.upid)
        row.pop("tokenid", None)
    return row


def _status_type(record: TaskRecord) -> str:
    if record.exitstatus == "OK":
        return "ok"
    if record.exitstatus in (None, "unexpected status"):
        return "unknown"
    return "warning" if str(record.exitstatus).startswith("WARNINGS") else "error"


def _matching(call: Call) -> Iterator[TaskRecord]:
    """The node's tasks that the caller may see and has asked for, newest first."""
    params = call.params
    source = params.get("source", "archive")
    sees_all = call.has(f"/nodes/{call.node}", "Sys.Audit")
    states = set(split(params.get("statusfilter", "").lower()))
    if params.get("errors"):
        states = {"error", "unknown"}
    for record in reversed(call.world.tasks.values()):
        running = record.status == "running"
        if (
            record.node == call.node
            and (sees_all or is_own(record, call.who))
            and source != ("archive" if running else "active")
            and params.get("userfilter", "").lower() in (_name(record.upid) if running else record.user).lower()
            and params.get("typefilter", record.type) == record.type
            and str(params.get("vmid", record.id)) == record.id
            and (not states or _status_type(record) in states)
            and params.get("since", 0) <= record.starttime <= params.get("until", 1 << 40)
        ):
            yield record


@handler("GET", "/nodes/{node}/tasks")
def listing(call: Call) -> Any:
    found = list(_matching(call))
    start, limit = call.params.get("start", 0), call.params.get("limit", 50)
    return call.with_total([_listed(record) for record in found[start : start + limit]], len(found))


@handler("GET", "/nodes/{node}/tasks/{upid}")
def index(_call: Call) -> Any:
    """Neither looked at nor checked by PVE."""
    return [{"name": "log"}, {"name": "status"}]


def _record(call: Call) -> TaskRecord | None:
    upid = call.params["upid"]
    if not _UPID.fullmatch(upid):
        raise Refused.parameters({"upid": "unable to parse worker upid"})
    record = call.world.tasks.get(upid)
    return record if record and record.node == call.node else None


def _existing(call: Call) -> TaskRecord:
    record = _record(call)
    if record is None:
        raise Refused.parameters({"upid": "no such task"})
    return record


def _require_own(call: Call, user: str, privilege: str) -> None:
    owner = Identity.parse(user)
    if call.who.user != owner.user or call.who.token not in (None, owner.token):
        call.require(f"/nodes/{call.node}", privilege)


def _name(upid: str) -> str:
    return upid.rstrip(":").rpartition(":")[2]


@handler("GET", "/nodes/{node}/tasks/{upid}/status")
def status(call: Call) -> Any:
    record = _existing(call)
    _require_own(call, _name(record.upid), "Sys.Audit")
    ended = {"exitstatus": record.exitstatus} if record.status == "stopped" else {}
    return head(record) | {"pid": record.pid, "pstart": record.pstart, "status": record.status} | ended


@handler("GET", "/nodes/{node}/tasks/{upid}/log")
def log(call: Call) -> Any:
    """Lines from `start`, numbered from 1; `limit` 0 means all. PVE tells a missing log as a log of one line."""
    record = _record(call)
    _require_own(call, _name(call.params["upid"]), "Sys.Audit")
    if record is None:
        return Reply(_NO_FILE, {"total": 1})
    if call.params.get("download"):
        return Reply(None, text="".join(f"{line}\n" for line in record.log))
    lines = [{"n": number, "t": line} for number, line in enumerate(record.log, start=1)]
    start, limit = call.params.get("start", 0), call.params.get("limit", 50)
    return call.with_total(lines[start : start + limit if limit else None], len(lines))


@handler("DELETE", "/nodes/{node}/tasks/{upid}")
def stop(call: Call) -> Any:
    """Ask a running task to end; a finished one is no error."""
    record = _existing(call)
    _require_own(call, _name(record.upid), "Sys.Modify")
    if task := call.world.running.get(record.upid):
        task.stop()
