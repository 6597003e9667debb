"""PVE's tasks, as those who started them may follow them."""

from __future__ import annotations

from datetime import UTC, datetime

from app.db import clusters, tenants
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.clusters import Task, TaskLine
from app.domain.errors import Invalid, NotFound, PveAbsent
from app.domain.identifiers import Upid
from app.domain.paging import Page, PageRequest
from app.policy import rules
from app.pve import NodeApi, TaskStatus
from app.sagas.credentials import Credentials


class Tasks:
    """A UPID says who started the task: a tenant's own are those of its token, and PVE is asked with that token.
    Administrators and auditors see all. One call for the status, one more for the log."""

    def __init__(self, db: Database, credentials: Credentials) -> None:
        self._db = db
        self._credentials = credentials

    def get(self, ctx: Context, upid: Upid, cluster: str | None) -> Task:
        """Raises NotFound for a task of others, and for one that PVE does not know (any more)."""
        status = _status(self._node(ctx, upid, cluster), upid)
        return Task(
            upid=upid, node=upid.node, type=upid.task_type, subject=upid.subject, user=upid.user,
            state="running" if status.running else "stopped", exitstatus=status.exitstatus, ok=status.ok,
            started_at=datetime.fromtimestamp(upid.started_at, UTC),
        )  # fmt: skip

    def log(self, ctx: Context, upid: Upid, cluster: str | None, request: PageRequest) -> Page[TaskLine]:
        """Its lines, oldest first; the cursor is the number of lines before. A running task's log grows."""
        start = _number(request.cursor)
        node = self._node(ctx, upid, cluster)
        status = _status(node, upid)
        lines, total = node.task_log_page(upid, start=start, limit=request.limit)
        shown = [TaskLine(start + number, text) for number, text in enumerate(lines, start=1)]
        more = start + len(lines) < total or (status.running and bool(lines))
        return Page(shown, total, str(start + len(lines)) if more else None)

    def _node(self, ctx: Context, upid: Upid, cluster: str | None) -> NodeApi:
        """The node that has the task, as the one who may follow it."""
        rules.require_scope(ctx, Privilege.OPERATION_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            if rules.sees_clusters(ctx):
                named = clusters.find(tx, scope, cluster).id
                clusters.find_node(tx, named, upid.node)
                return self._credentials.as_admin(named).node(upid.node)
            tenant = tenants.find_by_token(tx, scope, upid.user)
            rules.require(ctx, Privilege.OPERATION_AUDIT, on=tenant.id)
            if cluster is not None and clusters.find(tx, scope, cluster).id != tenant.cluster_id:
                raise NotFound
            clusters.find_node(tx, tenant.cluster_id, upid.node)
            return self._credentials.as_tenant(rules.acting(ctx, tenant.id)).node(upid.node)


def _status(node: NodeApi, upid: Upid) -> TaskStatus:
    try:
        return node.task_status(upid)
    except PveAbsent:
        raise NotFound from None


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 9:
        raise Invalid({"cursor": ["is not a cursor of this list"]})
    return int(cursor)
