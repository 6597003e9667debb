"""Named sizes."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.flavors import FlavorCreateSchema, FlavorQuerySchema, FlavorSchema, FlavorUpdateSchema
from app.domain.paging import Page, PageRequest
from app.domain.templates import Flavor, FlavorSpec


class FlavorsView(MethodView):
    @blp.pages(FlavorSchema, FlavorQuerySchema)
    def get(self, page: PageRequest) -> Page[Flavor]:
        """List the sizes that a deployment may name: by the plans of your tenants and your group"""
        return current.services.flavors.list(current.ctx, page)

    @blp.arguments(FlavorCreateSchema, example={"name": "small", "cores": 1, "memory": 1024, "disk_gb": 10})
    @blp.response(201, FlavorSchema)
    def post(self, spec: FlavorSpec) -> Flavor:
        """Name a size (administrators)"""
        return current.services.flavors.create(current.ctx, spec)


class FlavorView(MethodView):
    @blp.arguments(FlavorUpdateSchema, example={"memory": 2048})
    @blp.response(200, FlavorSchema)
    def put(self, change: dict[str, Any], flavor: str) -> Flavor:
        """Change a size for the guests to come; what is left out stays (administrators)"""
        return current.services.flavors.change(current.ctx, flavor, change)

    @blp.response(204)
    def delete(self, flavor: str) -> None:
        """Delete a size; its guests keep theirs (administrators)"""
        current.services.flavors.delete(current.ctx, flavor)
