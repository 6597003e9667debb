"""Whether the process lives, and whether the house can be used. Neither needs a log-in or tells a secret."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import fields

from app import current
from app.api.conventions import blp
from app.api.schemas.fields import Moment, Schema


class HealthSchema(Schema):
    status = fields.String(required=True, metadata={"description": "online, or unstable: something is not connected"})
    database = fields.String(required=True, metadata={"description": "connected, disconnected or unknown"})
    proxmox = fields.String(required=True, metadata={"description": "The same of the default cluster, as last seen."})
    details = fields.Dict(fields.String(), fields.String(), required=True)
    server_time = Moment(required=True)


class ReadinessSchema(Schema):
    status = fields.String(required=True)
    parts = fields.Dict(fields.String(), fields.String(), required=True)


class HealthView(MethodView):
    @blp.response(200, HealthSchema)
    def get(self) -> dict[str, Any]:
        """Is the process alive, and what did it last see of database and default cluster

        200 while the process lives, whatever it has to tell.
        """
        return current.services.health.live()


class ReadyView(MethodView):
    @blp.response(200, ReadinessSchema)
    def get(self) -> tuple[dict[str, Any], int]:
        """Can it be used: database, worker and default cluster

        503 with the same body while one of them cannot.
        """
        ready, document = current.services.health.ready()
        return document, 200 if ready else 503
