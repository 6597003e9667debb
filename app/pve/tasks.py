"""PVE's tasks. A 200 with a UPID only says that one was started; its end says whether it worked."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.errors import PveAbsent
from app.domain.identifiers import MalformedIdentifier, NodeName, TokenId, Upid, VmId
from app.pve.answers import Row, rows
from app.pve.speaking import Speaker

#: How far the clocks of PVE's nodes may be behind ours when a lost task is looked for, in seconds.
CLOCK_MARGIN = 60
_FRESH = 15
_GOOD_END = re.compile(r"OK|WARNINGS: \d+")


@dataclass(frozen=True)
class TaskRow:
    """A line of a node's task list. `status` is None while it runs, else its exit status; moments in seconds of epoch.

    `user` is `user@realm` always; what a token started has the token's name in `tokenid`.
    """

    upid: Upid
    type: str
    id: str
    user: str
    tokenid: str | None
    status: str | None
    starttime: int
    endtime: int | None

    @property
    def end(self) -> TaskStatus:
        return TaskStatus(self.status is None, self.status)

    def started_by(self, identity: TokenId) -> bool:
        return self.user == identity.user and self.tokenid == identity.name


@dataclass(frozen=True)
class TaskStatus:
    """`ok`: it ended with `OK` or with `WARNINGS: n`. `exitstatus` is None while it runs, and where PVE lost it."""

    running: bool
    exitstatus: str | None = None

    @property
    def ok(self) -> bool:
        return not self.running and bool(_GOOD_END.fullmatch(self.exitstatus or ""))


def task_rows(answer: object) -> list[TaskRow]:
    """Newest first. Rows of tasks whose id is none (other products write into the same list) are left out."""
    found = []
    for row in rows(answer):
        try:
            found.append(_task_row(row))
        except MalformedIdentifier:
            continue
    return sorted(found, key=lambda task: task.starttime, reverse=True)


def task_list(
    client: Speaker, node: NodeName, *, vmid: VmId | None, typefilter: str | None, since: int | None, source: str,
    userfilter: str | None, limit: int,
) -> list[TaskRow]:  # fmt: skip
    return task_rows(
        client.get(
            ("nodes", node, "tasks"),
            {
                "vmid": vmid, "typefilter": typefilter, "since": since, "source": source, "userfilter": userfilter,
                "limit": limit,
            },
        )
    )  # fmt: skip


def task_page(client: Speaker, node: NodeName, *, start: int, limit: int) -> tuple[list[TaskRow], int]:
    """The node's tasks, newest first, from the number `start` on, and how many there are."""
    found, total = client.get_counted(
        ("nodes", node, "tasks"), {"source": "all", "start": start, "limit": limit}
    )  # fmt: skip
    return task_rows(found), total


def task_status(client: Speaker, upid: Upid) -> TaskStatus:
    """A task that was started just now may not be known yet (400 `no such task`): that is running. Raises PveAbsent."""
    try:
        row = Row(client.get((*_path(upid), "status")))
    except PveAbsent:
        if abs(time.time() - upid.started_at) < _FRESH:
            return TaskStatus(running=True)
        raise
    return TaskStatus(row.text("status") == "running", row.maybe("exitstatus"))


def task_log(client: Speaker, upid: Upid, limit: int) -> list[str]:
    """The first `limit` lines of its log."""
    lines = rows(client.get((*_path(upid), "log"), {"limit": limit}))
    return [row.text("t") for row in sorted(lines, key=lambda row: row.number("n"))]


def task_log_page(client: Speaker, upid: Upid, *, start: int, limit: int) -> tuple[list[str], int]:
    """Lines of its log from the number `start` (0: the first) on, and how many there are."""
    found, total = client.get_counted((*_path(upid), "log"), {"start": start, "limit": limit})
    return [row.text("t") for row in sorted(rows(found), key=lambda row: row.number("n"))], total


def stop_task(client: Speaker, upid: Upid) -> None:
    """Asks it to end; ending a finished one is fine."""
    client.delete(_path(upid))


def first_of(found: Iterable[TaskRow], identity: TokenId, since: float) -> Upid | None:
    return next((row.upid for row in found if row.started_by(identity) and row.starttime >= since), None)


def _path(upid: Upid) -> tuple[str, ...]:
    proven = Upid.parse(upid)
    return ("nodes", proven.node, "tasks", proven)


def _task_row(row: Row) -> TaskRow:
    # While it runs PVE writes `user` as user@realm!token, afterwards in two fields.
    user, _, token = row.text("user").partition("!")
    status = row.maybe("status")
    return TaskRow(
        upid=Upid.parse(row.text("upid")),
        type=row.text("type"),
        id=row.text("id"),
        user=user,
        tokenid=row.maybe("tokenid") or token or None,
        status=None if status == "RUNNING" else status,
        starttime=row.number("starttime"),
        endtime=row.number("endtime") or None,
    )
