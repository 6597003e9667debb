"""Virtual machines."""

from __future__ import annotations

from app import current
from app.api.conventions import blp
from app.api.proxmox import guests
from app.api.schemas.guests import VmCreateSchema
from app.domain.guests import GuestKind, VmSpec
from app.domain.operations import Operation

_EXAMPLE = {"name": "web-1", "template": "debian-12-vm", "cores": 1, "memory": 1024, "disk_gb": 10, "tenant": "demo"}


class VmsView(guests.GuestsView):
    kind = GuestKind.VM

    @blp.arguments(VmCreateSchema, example=_EXAMPLE)
    @blp.accepted()
    def post(self, spec: VmSpec) -> Operation:
        """Create a VM in the tenant's pool: cloned from a template, or with an empty disk"""
        return current.services.guests.create_vm(current.ctx, spec)


VIEWS = guests.views(GuestKind.VM, VmsView)
