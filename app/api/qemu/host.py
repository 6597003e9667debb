"""What this host is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.local import HostBridgeSchema, HostInterfaceSchema, LocalHostSchema, PartQuerySchema
from app.domain.local import LocalHost
from app.domain.paging import Page, PageRequest


class HostView(MethodView):
    @blp.response(200, LocalHostSchema)
    def get(self) -> LocalHost:
        """Show what this host is and can do, and which accelerator its machines have

        As a worker saw it within the last half minute: libvirt is not asked. Where it cannot be used, 503 says why and
        what mends that.
        """
        return current.services.local_hosts.show(current.ctx)


class BridgesView(MethodView):
    @blp.pages(HostBridgeSchema, PartQuerySchema)
    def get(self, page: PageRequest) -> Page[Mapping[str, Any]]:
        """List the host's bridges (administrators, auditors)"""
        return current.services.local_hosts.bridges(current.ctx, page)


class InterfacesView(MethodView):
    @blp.pages(HostInterfaceSchema, PartQuerySchema)
    def get(self, page: PageRequest) -> Page[Mapping[str, Any]]:
        """List the host's network interfaces that may carry guests (administrators, auditors)"""
        return current.services.local_hosts.interfaces(current.ctx, page)


VIEWS: Mapping[str, type[MethodView]] = {
    "/host": HostView,
    "/bridges": BridgesView,
    "/interfaces": InterfacesView,
}
