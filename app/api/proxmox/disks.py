"""Disks of guests of both kinds; `vms` and `cts` say what a new one is."""

from __future__ import annotations

from typing import Any, ClassVar

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.disks import DiskMoveSchema, DiskSchema, DiskSizeSchema
from app.api.schemas.lists import page_of
from app.domain.disks import Disk
from app.domain.guests import GuestKind
from app.domain.operations import Operation
from app.domain.paging import Page


class DisksView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, page_of(DiskSchema))
    def get(self, guest: str) -> Page[Disk]:
        """List a guest's disks, as PVE has them now"""
        found = current.services.disks.list(current.ctx, self.kind, guest)
        return Page(found, len(found), None)


class DiskView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(DiskSizeSchema, example={"size_gb": 20})
    @blp.accepted()
    def put(self, wanted: dict[str, Any], guest: str, disk: str) -> Operation:
        """Grow a disk to a size; none shrinks"""
        return current.services.disks.grow(current.ctx, self.kind, guest, disk, wanted["size_gb"])

    @blp.accepted()
    def delete(self, guest: str, disk: str) -> Operation:
        """Detach a disk and delete it with all that is on it"""
        return current.services.disks.detach(current.ctx, self.kind, guest, disk)


class DiskMoveView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(DiskMoveSchema, example={"storage": "local-lvm"})
    @blp.accepted()
    def post(self, wanted: dict[str, Any], guest: str, disk: str) -> Operation:
        """Move a disk to another storage, a container's while it is stopped; nothing is left where it was"""
        return current.services.disks.move(current.ctx, self.kind, guest, disk, wanted["storage"])
