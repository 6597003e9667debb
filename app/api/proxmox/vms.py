"""Virtual machines."""

from __future__ import annotations

from app import current
from app.api.conventions import blp, expected_etags
from app.api.proxmox import guests
from app.api.proxmox.disks import DisksView
from app.api.schemas.disks import DiskCreateSchema
from app.api.schemas.guest_making import VmChangeSchema, VmCreateSchema
from app.domain.disks import DiskSpec
from app.domain.guests import GuestChange, GuestKind, VmSpec
from app.domain.operations import Operation

_EXAMPLE = {"name": "web-1", "template": "debian-12-vm", "cores": 1, "memory": 1024, "disk_gb": 10, "tags": ["web"],
            "tenant": "demo"}  # fmt: skip

_CHANGE = {"memory": 2048, "cores": 2, "disk_increment_gb": 5}


class VmsView(guests.GuestsView):
    kind = GuestKind.VM

    @blp.arguments(VmCreateSchema, example=_EXAMPLE)
    @blp.accepted()
    def post(self, spec: VmSpec) -> Operation:
        """Create a VM in the tenant's pool: cloned from a template, or with an empty disk"""
        return current.services.guests.create_vm(current.ctx, spec)


class VmView(guests.GuestView):
    kind = GuestKind.VM

    @blp.arguments(VmChangeSchema, example=_CHANGE)
    @blp.accepted(if_match=True)
    def patch(self, wanted: GuestChange, guest: str) -> Operation:
        """Change a VM; what is left out stays as it is"""
        return current.services.guests.change(current.ctx, self.kind, guest, wanted, expected_etags())

    put = patch


class VmDisksView(DisksView):
    kind = GuestKind.VM

    @blp.arguments(DiskCreateSchema, example={"size_gb": 5})
    @blp.accepted()
    def post(self, spec: DiskSpec, guest: str) -> Operation:
        """Attach a new disk to a VM"""
        return current.services.disks.attach(current.ctx, self.kind, guest, spec)


VIEWS = guests.views(GuestKind.VM, VmsView, VmView, VmDisksView)
