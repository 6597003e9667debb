"""Nodes of a cluster: a list from the inventory, and what one of them tells of itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from app.db import clusters
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.clusters import Node, NodeTask
from app.domain.identifiers import NodeName
from app.domain.paging import Page, PageRequest, first_of
from app.policy import rules
from app.pve import Interface, NodeApi, NodeStatus, PveVersion, Service, TaskRow
from app.sagas.credentials import Credentials


class Nodes:
    def __init__(self, db: Database, credentials: Credentials) -> None:
        self._db = db
        self._credentials = credentials

    def list(self, ctx: Context, cluster: str | None, request: PageRequest) -> Page[Node]:
        """Costs PVE nothing. Members see of their clusters' nodes what their guests show: the name, and whether it is
        online."""
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            named = clusters.find(tx, scope, cluster).id if cluster is not None else None
            return clusters.page_of_nodes(tx, scope, named, request, with_sizes=rules.sees_clusters(ctx))

    def status(self, ctx: Context, cluster: str | None, node: str) -> NodeStatus:
        return self._asked(ctx, cluster, node).status()

    def version(self, ctx: Context, cluster: str | None, node: str) -> PveVersion:
        return self._asked(ctx, cluster, node).version()

    def network(self, ctx: Context, cluster: str | None, node: str) -> Sequence[Interface]:
        return sorted(self._asked(ctx, cluster, node).network(), key=lambda interface: interface.iface)

    def services(self, ctx: Context, cluster: str | None, node: str) -> Sequence[Service]:
        return sorted(self._asked(ctx, cluster, node).services(), key=lambda service: service.name)

    def tasks(self, ctx: Context, cluster: str | None, node: str, request: PageRequest) -> Page[NodeTask]:
        """Newest first; `cursor` is the number of the first."""
        start = first_of(request.cursor)
        found, total = self._asked(ctx, cluster, node).task_page(start=start, limit=request.limit)
        following = start + request.limit
        return Page([_task(row) for row in found], total, str(following) if following < total else None)

    def _asked(self, ctx: Context, cluster: str | None, node: str) -> NodeApi:
        """The node, to be asked once, with the administrator's identity: what it is belongs to no tenant."""
        rules.require(ctx, Privilege.CLUSTER_AUDIT)
        with self._db.read() as tx:
            row = clusters.find_node(tx, clusters.find(tx, rules.visible(ctx), cluster).id, node)
            return self._credentials.as_admin(row.cluster_id).node(NodeName(row.name))


def _task(row: TaskRow) -> NodeTask:
    return NodeTask(
        upid=row.upid, node=row.upid.node, type=row.type, subject=row.id,
        user=f"{row.user}!{row.tokenid}" if row.tokenid else row.user, status=row.status or "running",
        started_at=datetime.fromtimestamp(row.starttime, UTC),
        ended_at=datetime.fromtimestamp(row.endtime, UTC) if row.endtime else None,
    )  # fmt: skip
