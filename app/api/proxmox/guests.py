"""What can be done to a guest of either kind; `vms` and `cts` say of which."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from flask import Response, request
from flask.views import MethodView

from app import current
from app.api import json
from app.api.conventions import blp, expected_etags
from app.api.proxmox import firewall
from app.api.proxmox.backups import BackupsView, BackupView, RestoreView, SchedulesView, ScheduleView
from app.api.proxmox.disks import DiskMoveView, DisksView, DiskView
from app.api.schemas.guest_actions import (
    DeleteQuerySchema,
    GuestLogInSchema,
    MigrateSchema,
    RebuildSchema,
    RestartSchema,
    Stop,
    StopSchema,
)
from app.api.schemas.guest_making import CloneSchema, RateLimit, RateLimitSchema
from app.api.schemas.guests import (
    GuestConfigSchema,
    GuestQuerySchema,
    GuestSchema,
    GuestStatusSchema,
    MetricPointSchema,
    MetricsQuerySchema,
    Series,
)
from app.api.schemas.lists import Listing, page_of
from app.api.schemas.snapshots import SnapshotCreateSchema, SnapshotQuerySchema, SnapshotSchema
from app.domain.guests import CloneSpec, GuestChange, GuestFilter, GuestKind, LogIn, NetworkChange, Rebuild, Restart
from app.domain.identifiers import NodeName
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.snapshots import Snapshot, SnapshotSpec


class GuestsView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.pages(GuestSchema, GuestQuerySchema)
    def get(self, listing: Listing[GuestFilter]) -> Response:
        """List guests, from the inventory: costs PVE nothing"""
        page = current.services.guests.list(current.ctx, self.kind, listing.wanted, listing.page)
        # the documents are ready: marshmallow describes them, and does not carry them
        tail = b'],"count":%d,"next":%b}' % (page.count, orjson.dumps(page.next))
        return Response(b'{"data":[' + b",".join(page.data) + tail, mimetype="application/json")


class GuestView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, GuestSchema)
    def get(self, guest: str) -> Response:
        """Show a guest, by id or vmid"""
        return json.answer(current.services.guests.get(current.ctx, self.kind, guest))

    @blp.arguments(DeleteQuerySchema, location="query")
    @blp.accepted()
    def delete(self, query: dict[str, bool], guest: str) -> Operation:
        """Delete a guest; a running one needs `force=true`"""
        return current.services.guests.delete(current.ctx, self.kind, guest, **query)


class StatusView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, GuestStatusSchema)
    def get(self, guest: str) -> Response:
        """Show a guest with what PVE tells about it now"""
        return json.answer(current.services.guests.status(current.ctx, self.kind, guest))


class MetricsView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(MetricsQuerySchema, location="query")
    @blp.response(200, page_of(MetricPointSchema))
    def get(self, series: Series, guest: str) -> Page[dict[str, Any]]:
        """List what a guest used: cpu, memory, disk and traffic over an hour, day, week, month or year

        Points of times when it was off are left out.
        """
        found = current.services.guests.metrics(current.ctx, self.kind, guest, series.timeframe, peaks=series.peaks)
        points = [{**vars(point), "time": datetime.fromtimestamp(point.time, UTC)} for point in found]
        return Page(points, len(points), None)


class ConfigView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, GuestConfigSchema, headers={"ETag": {"schema": {"type": "string"}}})
    def get(self, guest: str) -> Response:
        """Show a guest's configuration in PVE"""
        config, digest = current.services.guests.config(current.ctx, self.kind, guest)
        answer = json.answer(config)
        answer.set_etag(digest)
        answer.make_conditional(request)
        return answer


class StartView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Start a guest"""
        return current.services.guests.start(current.ctx, self.kind, guest)


class StopView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(StopSchema, required=False, example={"force": False, "timeout": 60})
    @blp.accepted()
    def post(self, stop: Stop, guest: str) -> Operation:
        """Shut a guest down; with `force` cut its power"""
        return current.services.guests.stop(current.ctx, self.kind, guest, force=stop.force, timeout=stop.timeout)


class RebootView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Reboot a guest"""
        return current.services.guests.reboot(current.ctx, self.kind, guest)


class RestartView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(
        RestartSchema, required=False,
        example={"watch": {"timeout": 120, "interval": 5}, "cooldown": 0},
    )  # fmt: skip
    @blp.accepted()
    def post(self, wanted: Restart, guest: str) -> Operation:
        """Shut a guest down, start it, and watch until it runs and its TCP port answers

        The result has `elapsed_seconds` and `attempts`. A start that fails is tried again; a guest that had to be left
        stopped is told as `left` of the error.
        """
        return current.services.restarts.restart(current.ctx, self.kind, guest, wanted)


class TemplateView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Make a stopped guest a template, for good; it stays charged, and is not started any more"""
        return current.services.conversions.to_template(current.ctx, self.kind, guest)


class MigrateView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(MigrateSchema, example={"node": "n2"})
    @blp.accepted()
    def post(self, wanted: dict[str, NodeName], guest: str) -> Operation:
        """Move a guest to another node, for administrators

        A running VM goes on running; a running container is stopped here and started there.
        """
        return current.services.conversions.migrate(current.ctx, self.kind, guest, wanted["node"])


class CredentialsView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(GuestLogInSchema, example={"password": "correct horse battery"})
    @blp.accepted()
    def post(self, wanted: LogIn, guest: str) -> Operation:
        """Give a VM a new password or new ssh keys, by cloud-init

        A VM that runs is told at its next start: `pending` of the result.
        """
        return current.services.conversions.change_log_in(current.ctx, self.kind, guest, wanted)


class ContainerCredentialsView(CredentialsView):
    @blp.arguments(GuestLogInSchema, example={"password": "correct horse battery"})
    @blp.accepted()
    def post(self, wanted: LogIn, guest: str) -> Operation:
        """Refused for a container: Proxmox VE cannot change its password or keys from outside

        Always 409 `guest.unsupported`. Change them inside the container, or rebuild it with new ones.
        """
        return current.services.conversions.change_log_in(current.ctx, self.kind, guest, wanted)


def _rebuild_view(template: str) -> type[MethodView]:
    """`template` is the example's, of the guests' kind."""

    class RebuildView(MethodView):
        kind: ClassVar[GuestKind]

        @blp.arguments(RebuildSchema, example={"template": template, "start": True})
        @blp.accepted()
        def post(self, wanted: Rebuild, guest: str) -> Operation:
            """Begin a stopped guest anew from a template: what is on its disks is gone for good

            Id, number, pool, size, cards, notes and tags stay; all its disks become one; firewall rules go. Where it
            fails half-way the guest is `failed`: charged, with nothing in PVE, to be rebuilt once more or deleted.
            """
            return current.services.conversions.rebuild(current.ctx, self.kind, guest, wanted)

    return RebuildView


class ButtonView(MethodView):
    kind: ClassVar[GuestKind]
    button: ClassVar[str]

    def _press(self, guest: str) -> Operation:
        return current.services.guests.press(current.ctx, self.kind, guest, self.button)


class SuspendView(ButtonView):
    button = "suspend"

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Freeze a running VM in its memory"""
        return self._press(guest)


class ContainerSuspendView(SuspendView):
    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Refused for a container: freezing one needs CRIU, which Proxmox VE does not bring

        Always 409 `guest.unsupported`. Stop the container instead.
        """
        return self._press(guest)


class ResumeView(ButtonView):
    button = "resume"

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Let a frozen VM go on"""
        return self._press(guest)


class ContainerResumeView(ResumeView):
    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Refused for a container, which cannot be frozen

        Always 409 `guest.unsupported`. Start the container instead.
        """
        return self._press(guest)


class ResetView(ButtonView):
    button = "reset"

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Reset a running VM, as its button does"""
        return self._press(guest)


class ContainerResetView(ResetView):
    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Refused for a container, which has no reset button

        Always 409 `guest.unsupported`. Stop the container with `force` and start it again.
        """
        return self._press(guest)


class RateLimitView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(RateLimitSchema, example={"rate_mbps": 12.5})
    @blp.accepted(if_match=True)
    def put(self, wanted: RateLimit, guest: str) -> Operation:
        """Limit what a network card sends and receives, in megabytes a second; 0 takes the limit away"""
        change = GuestChange(net=NetworkChange(rate=wanted.rate_mbps, card=wanted.interface))
        return current.services.guests.change(current.ctx, self.kind, guest, change, expected_etags())


class CloneView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(CloneSchema, example={"name": "web-2"})
    @blp.accepted()
    def post(self, spec: CloneSpec, guest: str) -> Operation:
        """Clone a guest of yours, or a published template by its vmid; the clone is charged as its source"""
        return current.services.clones.clone(current.ctx, self.kind, guest, spec)


class SnapshotsView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.pages(SnapshotSchema, SnapshotQuerySchema)
    def get(self, page: PageRequest, guest: str) -> Page[Snapshot]:
        """List a guest's snapshots, oldest first"""
        return current.services.snapshots.list(current.ctx, self.kind, guest, page)

    @blp.arguments(SnapshotCreateSchema, example={"name": "before-2", "description": "before the upgrade to 2.0"})
    @blp.accepted()
    def post(self, spec: SnapshotSpec, guest: str) -> Operation:
        """Take a snapshot"""
        return current.services.snapshots.take(current.ctx, self.kind, guest, spec)


class SnapshotView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.accepted()
    def delete(self, guest: str, snapshot: str) -> Operation:
        """Delete a snapshot; the guest stays as it is"""
        return current.services.snapshots.delete(current.ctx, self.kind, guest, snapshot)


class RollbackView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.accepted()
    def post(self, guest: str, snapshot: str) -> Operation:
        """Take a guest back to a snapshot; one that ran is started again"""
        return current.services.snapshots.roll_back(current.ctx, self.kind, guest, snapshot)


_REFUSED_FOR_CONTAINERS: Mapping[str, type[MethodView]] = {
    "/<guest>/credentials": ContainerCredentialsView,
    "/<guest>/reset": ContainerResetView,
    "/<guest>/suspend": ContainerSuspendView,
    "/<guest>/resume": ContainerResumeView,
}


def views(
    kind: GuestKind, collection: type[MethodView], item: type[MethodView], disks: type[DisksView]
) -> Mapping[str, Any]:
    """Path below the kind's own -> view of that kind."""
    of_kind: Mapping[str, type[MethodView]] = {
        "/<guest>/status": StatusView,
        "/<guest>/metrics": MetricsView,
        "/<guest>/config": ConfigView,
        "/<guest>/start": StartView,
        "/<guest>/stop": StopView,
        "/<guest>/reboot": RebootView,
        "/<guest>/restart": RestartView,
        "/<guest>/migrate": MigrateView,
        "/<guest>/rebuild": _rebuild_view("debian-12-vm" if kind == GuestKind.VM else "debian-12"),
        "/<guest>/credentials": CredentialsView,
        "/<guest>/reset": ResetView,
        "/<guest>/suspend": SuspendView,
        "/<guest>/resume": ResumeView,
        "/<guest>/network/rate-limit": RateLimitView,
        "/<guest>/disks/<disk>": DiskView,
        "/<guest>/disks/<disk>/move": DiskMoveView,
        "/<guest>/snapshots": SnapshotsView,
        "/<guest>/snapshots/<snapshot>": SnapshotView,
        "/<guest>/snapshots/<snapshot>/rollback": RollbackView,
        "/<guest>/clone": CloneView,
        "/<guest>/backups": BackupsView,
        "/<guest>/backups/<backup>": BackupView,
        **firewall.VIEWS,
        "/<guest>/backups/<backup>/restore": RestoreView,
        "/<guest>/backup-schedules": SchedulesView,
        "/<guest>/backup-schedules/<schedule>": ScheduleView,
        "/<guest>/template": TemplateView,
    }
    if kind == GuestKind.CT:
        of_kind = {**of_kind, **_REFUSED_FOR_CONTAINERS}
    made = {path: type(f"{kind.upper()}{view.__name__}", (view,), {"kind": kind}) for path, view in of_kind.items()}
    return {"": collection, "/<guest>": item, "/<guest>/disks": disks, **made}
