"""Drift: what was changed in PVE behind our back."""

from __future__ import annotations

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.drift import DriftQuerySchema, DriftSchema
from app.api.schemas.lists import Listing
from app.domain.drift import Drift, DriftFilter
from app.domain.operations import Operation
from app.domain.paging import Page


class DriftsView(MethodView):
    @blp.pages(DriftSchema, DriftQuerySchema)
    def get(self, listing: Listing[DriftFilter]) -> Page[Drift]:
        """List what stands in PVE otherwise than was agreed, newest first"""
        return current.services.drift.list(current.ctx, listing.wanted, listing.page)


class AdoptView(MethodView):
    @blp.accepted()
    def post(self, drift: str) -> Operation:
        """Agree to what stands in PVE; a guest that nobody made here becomes its tenant's"""
        return current.services.drift.adopt(current.ctx, drift)


class ForgetView(MethodView):
    @blp.response(204)
    def post(self, drift: str) -> None:
        """Forget a guest that is missing or outside its pool; PVE is not touched"""
        current.services.drift.forget(current.ctx, drift)


class RepairView(MethodView):
    @blp.accepted()
    def post(self, drift: str) -> Operation:
        """Put a guest back into its pool, and its name, cores and memory as they were agreed"""
        return current.services.drift.repair(current.ctx, drift)
