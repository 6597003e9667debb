"""Guests out of the catalog."""

from __future__ import annotations

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.flavors import DeploymentCreateSchema, DeploymentSchema
from app.domain.deployments import Deployed, DeploymentSpec

_EXAMPLE = {"template_id": "debian-12", "name": "web-2", "cores": 1, "memory": 512, "tenant": "demo"}


class DeploymentsView(MethodView):
    @blp.arguments(DeploymentCreateSchema, example=_EXAMPLE)
    @blp.accepted(shows=DeploymentSchema)
    def post(self, spec: DeploymentSpec) -> Deployed:
        """Deploy a guest from the catalog; a password that was made is shown this once"""
        return current.services.deployments.deploy(current.ctx, spec)
