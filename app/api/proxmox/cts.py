"""Containers."""

from __future__ import annotations

from app import current
from app.api.conventions import blp
from app.api.proxmox import guests
from app.api.schemas.guests import ContainerCreateSchema
from app.domain.guests import ContainerSpec, GuestKind
from app.domain.operations import Operation

_EXAMPLE = {"name": "app-1", "template": "debian-12", "memory": 512, "cores": 1, "disk_gb": 8, "tenant": "demo"}


class ContainersView(guests.GuestsView):
    kind = GuestKind.CT

    @blp.arguments(ContainerCreateSchema, example=_EXAMPLE)
    @blp.accepted()
    def post(self, spec: ContainerSpec) -> Operation:
        """Create an unprivileged container in the tenant's pool"""
        return current.services.guests.create_container(current.ctx, spec)


VIEWS = guests.views(GuestKind.CT, ContainersView)
