"""Clusters and their nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.clusters import (
    ClusterAnswerSchema,
    ClusterQuerySchema,
    ClusterSummarySchema,
    InterfaceSchema,
    NodeQuerySchema,
    NodeSchema,
    NodeStatusSchema,
    NodeTaskQuerySchema,
    NodeTaskSchema,
    NodeVersionSchema,
    ServiceSchema,
    Whose,
)
from app.api.schemas.lists import Listing, page_of
from app.domain.clusters import ClusterAnswer, ClusterSummary, Node, NodeTask
from app.domain.paging import Page


class TestView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, ClusterAnswerSchema)
    def get(self, whose: Whose) -> ClusterAnswer:
        """Test that a cluster answers to our credential

        Administrators and auditors test the house's own, members their tenant's. 502 `pve.auth_failed` where PVE does
        not take it, 503 `pve.unreachable` where nobody answers.
        """
        return current.services.clusters.test(current.ctx, whose.cluster)


class SummaryView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, ClusterSummarySchema)
    def get(self, whose: Whose) -> ClusterSummary:
        """Sum a cluster up: nodes, guests by state, load and room"""
        return current.services.clusters.summary(current.ctx, whose.cluster)


class NodesView(MethodView):
    @blp.pages(NodeSchema, NodeQuerySchema)
    def get(self, listing: Listing[Whose]) -> Page[Node]:
        """List nodes, from the inventory: costs PVE nothing"""
        return current.services.nodes.list(current.ctx, listing.wanted.cluster, listing.page)


class NodeStatusView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, NodeStatusSchema)
    def get(self, whose: Whose, node: str) -> Any:
        """Show what a node has and uses now (administrators and auditors)"""
        return current.services.nodes.status(current.ctx, whose.cluster, node)


class NodeVersionView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, NodeVersionSchema)
    def get(self, whose: Whose, node: str) -> Any:
        """Show a node's version of Proxmox VE (administrators and auditors)"""
        return current.services.nodes.version(current.ctx, whose.cluster, node)


class NodeNetworkView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, page_of(InterfaceSchema))
    def get(self, whose: Whose, node: str) -> Page[Any]:
        """List a node's network interfaces (administrators and auditors)"""
        return _whole(current.services.nodes.network(current.ctx, whose.cluster, node))


class NodeServicesView(MethodView):
    @blp.arguments(ClusterQuerySchema, location="query")
    @blp.response(200, page_of(ServiceSchema))
    def get(self, whose: Whose, node: str) -> Page[Any]:
        """List a node's services (administrators and auditors)"""
        return _whole(current.services.nodes.services(current.ctx, whose.cluster, node))


class NodeTasksView(MethodView):
    @blp.pages(NodeTaskSchema, NodeTaskQuerySchema)
    def get(self, listing: Listing[Whose], node: str) -> Page[NodeTask]:
        """List a node's tasks, newest first (administrators and auditors)"""
        return current.services.nodes.tasks(current.ctx, listing.wanted.cluster, node, listing.page)


def _whole(rows: Sequence[Any]) -> Page[Any]:
    """PVE gives all of them at once."""
    return Page(rows, len(rows), None)


VIEWS: Mapping[str, type[MethodView]] = {
    "/test": TestView,
    "/cluster/summary": SummaryView,
    "/nodes": NodesView,
    "/nodes/<node>/status": NodeStatusView,
    "/nodes/<node>/version": NodeVersionView,
    "/nodes/<node>/network": NodeNetworkView,
    "/nodes/<node>/services": NodeServicesView,
    "/nodes/<node>/tasks": NodeTasksView,
}
