"""Many guests in one request."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from app import current
from app.api import errors
from app.api.conventions import blp
from app.api.schemas.bulk import BatchResultSchema, BatchSchema, BulkResultSchema, BulkSchema
from app.domain.bulk import BatchWish, BulkItem, BulkWish

_BATCH = {"count": 3, "name": "student-{n}", "tenant": "demo", "spec": {"template_id": "debian-12", "memory": 256}}


class ActionsView(MethodView):
    @blp.arguments(BulkSchema, example={"action": "start", "guests": ["10000", "10001"]})
    @blp.many_accepted(BulkResultSchema, member="operation")
    def post(self, wish: BulkWish) -> dict[str, Any]:
        """Do the same to many guests; what their quota must have room for it has for all, or none is touched"""
        return {"data": [_shown(item) for item in current.services.bulk.act(current.ctx, wish)]}


class BatchView(MethodView):
    @blp.arguments(BatchSchema, example=_BATCH)
    @blp.many_accepted(BatchResultSchema, once=("passwords",))
    def post(self, wish: BatchWish) -> dict[str, Any]:
        """Deploy many guests of one template, all or none; passwords that were made are shown this once"""
        made = current.services.bulk.batch(current.ctx, wish)
        return {
            "data": [one.operation for one in made],
            "passwords": {str(one.operation.guest): one.password for one in made if one.password is not None},
        }


def _shown(item: BulkItem) -> dict[str, Any]:
    error = errors.document_of(item.error) if item.error is not None else None
    return {"guest": item.guest, "operation": item.operation, "error": error}


VIEWS = {"/actions": ActionsView, "/batch": BatchView}
