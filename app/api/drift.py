"""Drift: what was changed in PVE behind our back."""

from __future__ import annotations

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.drift import DriftQuerySchema, DriftSchema
from app.api.schemas.lists import Listing
from app.domain.drift import Drift, DriftFilter
from app.domain.paging import Page


class DriftsView(MethodView):
    @blp.pages(DriftSchema, DriftQuerySchema)
    def get(self, listing: Listing[DriftFilter]) -> Page[Drift]:
        """List what stands in PVE otherwise than was agreed, newest first"""
        return current.services.drift.list(current.ctx, listing.wanted, listing.page)
