"""Containers."""

from __future__ import annotations

from app import current
from app.api.conventions import blp, expected_etags
from app.api.proxmox import guests
from app.api.proxmox.disks import DisksView
from app.api.schemas.disks import MountCreateSchema
from app.api.schemas.guest_making import ContainerChangeSchema, ContainerCreateSchema
from app.domain.disks import DiskSpec
from app.domain.guests import ContainerSpec, GuestChange, GuestKind
from app.domain.operations import Operation

_EXAMPLE = {"name": "app-1", "template": "debian-12", "memory": 512, "cores": 1, "disk_gb": 8, "tenant": "demo"}

_CHANGE = {"memory": 1024, "swap": 256, "disk_increment_gb": 2}


class ContainersView(guests.GuestsView):
    kind = GuestKind.CT

    @blp.arguments(ContainerCreateSchema, example=_EXAMPLE)
    @blp.accepted()
    def post(self, spec: ContainerSpec) -> Operation:
        """Create an unprivileged container in the tenant's pool"""
        return current.services.guests.create_container(current.ctx, spec)


class ContainerView(guests.GuestView):
    kind = GuestKind.CT

    @blp.arguments(ContainerChangeSchema, example=_CHANGE)
    @blp.accepted(if_match=True)
    def patch(self, wanted: GuestChange, guest: str) -> Operation:
        """Change a container; what is left out stays as it is"""
        return current.services.guests.change(current.ctx, self.kind, guest, wanted, expected_etags())

    put = patch


class ContainerDisksView(DisksView):
    kind = GuestKind.CT

    @blp.arguments(MountCreateSchema, example={"size_gb": 5, "path": "/srv/data"})
    @blp.accepted()
    def post(self, spec: DiskSpec, guest: str) -> Operation:
        """Attach a new disk to a container, mounted at a path"""
        return current.services.disks.attach(current.ctx, self.kind, guest, spec)


VIEWS = guests.views(GuestKind.CT, ContainersView, ContainerView, ContainerDisksView)
