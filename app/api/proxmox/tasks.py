"""Tasks of Proxmox VE."""

from __future__ import annotations

from collections.abc import Mapping

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.clusters import ClusterQuerySchema, NodeTaskQuerySchema, Whose
from app.api.schemas.lists import Listing
from app.api.schemas.tasks import TaskLineSchema, TaskSchema
from app.domain.clusters import Task, TaskLine
from app.domain.identifiers import Upid
from app.domain.paging import Page


class TaskView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, TaskSchema)
    def get(self, whose: Whose, upid: str) -> Task:
        """Show a task that your tenant has started"""
        return current.services.tasks.get(current.ctx, Upid.parse(upid), whose.cluster)


class TaskLogView(MethodView):
    @blp.pages(TaskLineSchema, NodeTaskQuerySchema)
    def get(self, listing: Listing[Whose], upid: str) -> Page[TaskLine]:
        """Read a task's log; while it runs, `next` asks for what comes"""
        return current.services.tasks.log(current.ctx, Upid.parse(upid), listing.wanted.cluster, listing.page)


VIEWS: Mapping[str, type[MethodView]] = {"/tasks/<upid>": TaskView, "/tasks/<upid>/log": TaskLogView}
