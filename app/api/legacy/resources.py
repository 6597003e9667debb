"""The caller's guests, named by their numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.legacy import words
from app.api.schemas.legacy import (
    DeployedResourceSchema,
    DeploySchema,
    MovedSchema,
    ResourceSchema,
    RestorePointCreateSchema,
    RestorePointSchema,
    ScaledSchema,
    ScaleSchema,
    ToldSchema,
    as_list,
)
from app.domain.deployments import Deployed, DeploymentSpec
from app.domain.guests import GuestChange, GuestState, Standing
from app.domain.identifiers import SnapshotName
from app.domain.operations import Operation
from app.domain.paging import PageRequest
from app.domain.snapshots import Snapshot, SnapshotSpec

_ALL = PageRequest(limit=10_000)
_FROZEN = (GuestState.PAUSED, GuestState.SUSPENDED)


class ResourcesView(MethodView):
    @blp.response(200, as_list(ResourceSchema))
    def get(self) -> list[dict[str, Any]]:
        """List the guests of the caller's home tenant as they were accepted to be; costs PVE nothing"""
        return [_resource(one) for one in current.services.guests.at_home(current.ctx) if words.is_shown(one)]


def _resource(guest: Standing) -> dict[str, Any]:
    return {
        "id": guest.id, "vmid": guest.vmid, "name": guest.name, "type": words.KINDS[guest.kind],
        "status": words.status(guest), "cpu": guest.cores, "ram": guest.memory, "storage": guest.disk_gb,
        "created_at": guest.created_at,
    }  # fmt: skip


def _deployed(operation: Operation, *_: Any) -> Mapping[str, Any]:
    shown = words.told("Deploy accepted.", "Deployed.", moves=True)(operation)
    return {**shown, "vmid": current.services.guests.number(current.ctx, operation.guest or "")}


class DeployView(MethodView):
    @blp.arguments(DeploySchema, example={"template_id": "debian-12", "name": "web-2", "cpu": 1, "memory": 512})
    @blp.accepted(shows=DeployedResourceSchema, face=_deployed)
    def post(self, spec: DeploymentSpec) -> Deployed:
        """Deploy a guest from the catalog in the caller's home tenant; it starts, now and with its node"""
        with words.in_words(disk_gb="storage", template="template_id"):
            return current.services.deployments.deploy_at_home(current.ctx, spec)


class ResourceView(MethodView):
    @blp.accepted(shows=ToldSchema, face=words.told("Delete accepted.", "Deleted."))
    def delete(self, vmid: str) -> Operation:
        """Delete a guest, also one that runs; its backups stay"""
        one = current.services.guests.located(current.ctx, vmid)
        return current.services.guests.delete(current.ctx, one.kind, one.id, purge=False, force=True)


def _scaled(operation: Operation, wanted: GuestChange, **_: Any) -> Mapping[str, Any]:
    shown = words.told("Scale accepted.", "Scaled.")(operation)
    return {**shown, "new_specs": {"cpu": wanted.cores, "ram": wanted.memory}}


class ScaleView(MethodView):
    @blp.arguments(ScaleSchema, example={"cores": 2, "memory": 1024})
    @blp.accepted(shows=ScaledSchema, face=_scaled)
    def put(self, wanted: GuestChange, vmid: str) -> Operation:
        """Give a guest other cores and memory"""
        one = current.services.guests.located(current.ctx, vmid)
        return current.services.guests.change(current.ctx, one.kind, one.id, wanted, None)


class ResourceStartView(MethodView):
    @blp.accepted(shows=MovedSchema, face=words.told("Start accepted.", "Running.", moves=True))
    def post(self, vmid: str) -> Operation:
        """Start a guest, or let a frozen one go on"""
        one = current.services.guests.located(current.ctx, vmid)
        if one.state in _FROZEN:
            return current.services.guests.press(current.ctx, one.kind, one.id, "resume")
        return current.services.guests.start(current.ctx, one.kind, one.id)


class ResourceStopView(MethodView):
    @blp.accepted(shows=MovedSchema, face=words.told("Stop accepted.", "Stopped.", moves=True))
    def post(self, vmid: str) -> Operation:
        """Shut a guest down; one that has not gone after a minute is stopped"""
        one = current.services.guests.located(current.ctx, vmid)
        return current.services.guests.stop(current.ctx, one.kind, one.id, surely=True)


class ResourceRebootView(MethodView):
    @blp.accepted(shows=MovedSchema, face=words.told("Reboot accepted.", "Running.", moves=True))
    def post(self, vmid: str) -> Operation:
        """Reboot a guest that runs"""
        one = current.services.guests.located(current.ctx, vmid)
        return current.services.guests.reboot(current.ctx, one.kind, one.id)


# -- snapshots


class RestorePointsView(MethodView):
    @blp.response(200, as_list(RestorePointSchema))
    def get(self, vmid: str) -> Sequence[Mapping[str, Any]]:
        """List a guest's snapshots as they were accepted to be, oldest first"""
        one = current.services.guests.located(current.ctx, vmid)
        found = current.services.snapshots.list(current.ctx, one.kind, one.id, _ALL)
        return [_restore_point(snapshot) for snapshot in found.data]

    @blp.arguments(RestorePointCreateSchema, example={"name": "pre-deploy", "description": ""})
    @blp.accepted(shows=ToldSchema, face=words.told("Snapshot accepted.", "Snapshot taken."))
    def post(self, given: dict[str, Any], vmid: str) -> Operation:
        """Take a snapshot"""
        one = current.services.guests.located(current.ctx, vmid)
        name = given.get("name") or SnapshotName.parse(f"snap_{vmid}_{int(time.time())}")
        spec = SnapshotSpec(name, given["description"], vmstate=False)
        return current.services.snapshots.take(current.ctx, one.kind, one.id, spec)


def _restore_point(snapshot: Snapshot) -> Mapping[str, Any]:
    return {
        "name": snapshot.name, "description": snapshot.description, "vmstate": snapshot.vmstate,
        "parent": snapshot.parent, "snaptime": math.floor(snapshot.created_at.timestamp()),
    }  # fmt: skip


class RestorePointView(MethodView):
    @blp.accepted(shows=ToldSchema, face=words.told("Delete accepted.", "Deleted."))
    def delete(self, vmid: str, snapshot: str) -> Operation:
        """Delete a snapshot; the guest stays as it is"""
        one = current.services.guests.located(current.ctx, vmid)
        return current.services.snapshots.delete(current.ctx, one.kind, one.id, snapshot)


class ResourceRollbackView(MethodView):
    @blp.accepted(shows=MovedSchema, face=words.told("Rollback accepted.", "Rolled back.", moves=True))
    def post(self, vmid: str, snapshot: str) -> Operation:
        """Take a guest back to a snapshot; one that ran is started again"""
        one = current.services.guests.located(current.ctx, vmid)
        return current.services.snapshots.roll_back(current.ctx, one.kind, one.id, snapshot)
