"""Operations: our long work, followed, cancelled and helped out."""

from __future__ import annotations

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.lists import Listing
from app.api.schemas.operations import OperationQuerySchema, OperationSchema, ResolveSchema
from app.domain.operations import Operation, OperationFilter
from app.domain.paging import Page


class OperationsView(MethodView):
    @blp.pages(OperationSchema, OperationQuerySchema)
    def get(self, listing: Listing[OperationFilter]) -> Page[Operation]:
        """List operations, newest first"""
        return current.services.operations.list(current.ctx, listing.wanted, listing.page)


class OperationView(MethodView):
    @blp.response(200, OperationSchema)
    def get(self, operation: str) -> Operation:
        """Show an operation"""
        return current.services.operations.get(current.ctx, operation)


class CancelView(MethodView):
    @blp.accepted()
    def post(self, operation: str) -> Operation:
        """Ask an operation to take back what it did"""
        return current.services.operations.cancel(current.ctx, operation)


class ResolveView(MethodView):
    @blp.arguments(ResolveSchema, example={"note": "Removed the stale lock on pve1"})
    @blp.accepted()
    def post(self, given: dict[str, str], operation: str) -> Operation:
        """Let a stuck operation go on with its undoing"""
        return current.services.operations.resolve(current.ctx, operation, given["note"])
