"""PVE's tasks as the engine asks for them: a few looks per node, whatever the number of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from app.db import clusters, operations
from app.db.session import Database
from app.domain.errors import AppError, PveAbsent, PveAway, PveError
from app.domain.identifiers import NodeName, Upid
from app.operations.engine import TaskEnd
from app.pve import Pve, TaskStatus
from app.pve.failures import task_failure
from app.sagas.credentials import Credentials

_LOG_LINES = 20
_LISTED = 2000

log = structlog.get_logger(__name__)


class PveTasks:
    """Asks with the administrator's identity, which only reads here."""

    def __init__(self, db: Database, credentials: Credentials) -> None:
        self._db = db
        self._credentials = credentials

    def ended(self, upids: Mapping[str, str]) -> Mapping[str, TaskEnd]:
        """Of the given tasks (UPID -> operation) those that have ended, and how; not those of clusters away."""
        with self._db.read() as tx:
            cluster_of = operations.clusters_of(tx, set(upids.values()), default=clusters.default(tx).id)
        by_node: dict[tuple[str, NodeName], list[Upid]] = defaultdict(list)
        for text, operation in upids.items():
            upid = Upid.parse(text)
            by_node[cluster_of[operation], upid.node].append(upid)
        ends: dict[str, TaskEnd] = {}
        for (cluster, node), tasks in by_node.items():
            try:
                ends.update(self._ended_on(self._credentials.as_admin(cluster), node, tasks))
            except PveError as error:
                log.info("tasks.unseen", cluster=cluster, node=node, code=error.code)
        return ends

    def _ended_on(self, pve: Pve, node: NodeName, tasks: Iterable[Upid]) -> dict[str, TaskEnd]:
        wanted = list(tasks)
        api = pve.node(node)
        still = {row.upid for row in api.tasks(source="active", limit=_LISTED)} if len(wanted) > 1 else set()
        done = [upid for upid in wanted if upid not in still]
        listed: Mapping[Upid, TaskStatus] = {}
        if len(done) > 1:
            since = min(upid.started_at for upid in done)
            listed = {row.upid: row.end for row in api.tasks(since=since, limit=_LISTED) if row.end.ok}
        return {upid: end for upid in done if (end := self._end(pve, upid, listed.get(upid))) is not None}

    def _end(self, pve: Pve, upid: Upid, status: TaskStatus | None) -> TaskEnd | None:
        node = pve.node(upid.node)
        try:
            status = status or node.task_status(upid)
            if status.running:
                return None
            if status.ok:
                return {"ok": True, "again": False, "problem": None}
            error = task_failure(upid, status.exitstatus or "", node.task_log(upid, limit=_LOG_LINES))
        except PveAbsent as lost:
            error = lost
        return {"ok": False, "again": _is_again(error, upid), "problem": _problem(error, upid)}


def _is_again(error: AppError, upid: Upid) -> bool:
    """Whether its step is to be called again. Only a clone's task finds out that something is there already: it may be
    what the same call, delivered before, has made, and the step looks whose it is."""
    return isinstance(error, PveAway | PveAbsent) or (error.code == "pve.exists" and upid.task_type == "qmclone")


def _problem(error: AppError, upid: Upid) -> dict[str, Any]:
    return {
        "code": error.code,
        "title": error.title,
        "detail": error.detail,
        "remedy": error.remedy,
        "upid": upid,
        **error.members,
    }
