"""The catalog: everybody reads it, administrators write it."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.clusters import Whose
from app.api.schemas.lists import Listing
from app.api.schemas.templates import (
    ImportedSchema,
    ImportSchema,
    SourceQuerySchema,
    SourceSchema,
    TemplateCreateSchema,
    TemplateQuerySchema,
    TemplateSchema,
    TemplateUpdateSchema,
)
from app.domain.paging import Page, PageRequest
from app.domain.templates import Source, Template, TemplateSpec

_INSTALLER = "local:iso/debian-13.2.0-amd64-netinst.iso"
_ARCHIVE = "local:vztmpl/ubuntu-24.04-standard_24.04-2_amd64.tar.zst"


class TemplatesView(MethodView):
    @blp.pages(TemplateSchema, TemplateQuerySchema)
    def get(self, page: PageRequest) -> Page[Template]:
        """List what may be deployed"""
        return current.services.templates.list(current.ctx, page)

    @blp.arguments(TemplateCreateSchema, example={"source": _INSTALLER, "name": "debian-13-installer"})
    @blp.response(201, TemplateSchema)
    def post(self, spec: TemplateSpec) -> Template:
        """Put a medium or a template guest into the catalog (administrators)"""
        return current.services.templates.create(current.ctx, spec)


class TemplateView(MethodView):
    @blp.response(200, TemplateSchema)
    def get(self, template: str) -> Template:
        """Show a template"""
        return current.services.templates.get(current.ctx, template)

    @blp.arguments(TemplateUpdateSchema, example={"description": "The stable one", "disk_gb": 8})
    @blp.response(200, TemplateSchema)
    def put(self, change: dict[str, Any], template: str) -> Template:
        """Change a template; what is left out stays (administrators)"""
        return current.services.templates.change(current.ctx, template, change)

    @blp.response(204)
    def delete(self, template: str) -> None:
        """Take a template out of the catalog; in PVE nothing is deleted (administrators)"""
        current.services.templates.delete(current.ctx, template)


class ToggleView(MethodView):
    @blp.response(200, TemplateSchema)
    def post(self, template: str) -> Template:
        """Publish a template, or withdraw it (administrators)"""
        return current.services.templates.toggle(current.ctx, template)


class ScanView(MethodView):
    @blp.pages(SourceSchema, SourceQuerySchema)
    def get(self, listing: Listing[Whose]) -> Page[Source]:
        """List what PVE has and the catalog has not (administrators, auditors)"""
        return current.services.templates.scan(current.ctx, listing.wanted.cluster, listing.page)


class ImportView(MethodView):
    @blp.arguments(ImportSchema, example={"sources": [_ARCHIVE]})
    @blp.response(200, ImportedSchema)
    def post(self, given: dict[str, Any]) -> dict[str, Any]:
        """Make unpublished templates of sources, all or none; known ones are left out (administrators)"""
        made = current.services.templates.import_sources(current.ctx, given["cluster"], given["sources"])
        return {"data": made}


VIEWS = {
    "": TemplatesView,
    "/scan": ScanView,
    "/import": ImportView,
    "/<template>": TemplateView,
    "/<template>/toggle": ToggleView,
}
