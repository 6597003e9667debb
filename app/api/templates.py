"""The catalog."""

from __future__ import annotations

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.templates import TemplateQuerySchema, TemplateSchema
from app.domain.paging import Page, PageRequest
from app.domain.tenants import Template


class TemplatesView(MethodView):
    @blp.pages(TemplateSchema, TemplateQuerySchema)
    def get(self, page: PageRequest) -> Page[Template]:
        """List what may be deployed"""
        return current.services.templates.list(current.ctx, page)


class TemplateView(MethodView):
    @blp.response(200, TemplateSchema)
    def get(self, template: str) -> Template:
        """Show a template"""
        return current.services.templates.get(current.ctx, template)
