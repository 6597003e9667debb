"""API keys of who is logged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.api_keys import ApiKeyCreateSchema, ApiKeyQuerySchema, ApiKeySchema, NewApiKeySchema
from app.api.schemas.lists import Listing
from app.domain.paging import Page
from app.domain.tenants import ApiKey, ApiKeySpec

_EXAMPLE = {"name": "nightly job", "tenant": "demo", "actions": ["guest.audit", "guest.power"]}


class ApiKeysView(MethodView):
    @blp.pages(ApiKeySchema, ApiKeyQuerySchema)
    def get(self, listing: Listing[dict[str, str]]) -> Page[ApiKey]:
        """List my API keys"""
        return current.services.api_keys.list(current.ctx, listing.wanted.get("tenant"), listing.page)

    @blp.arguments(ApiKeyCreateSchema, example=_EXAMPLE)
    @blp.response(201, NewApiKeySchema, once=("secret",))
    def post(self, spec: ApiKeySpec) -> Mapping[str, Any]:
        """Make an API key for one tenant and some actions; its secret is shown this once

        A key is a bearer token beside the log-in's. It never allows more than its maker is allowed at that moment.
        """
        key, secret = current.services.api_keys.create(current.ctx, spec)
        return {**vars(key), "secret": secret}


class ApiKeyView(MethodView):
    @blp.response(204)
    def delete(self, key: str) -> None:
        """Delete an API key: it ends at once"""
        current.services.api_keys.delete(current.ctx, key)
