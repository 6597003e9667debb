"""The catalog, as it may be deployed from."""

from __future__ import annotations

from app.db import templates
from app.db.session import Database
from app.domain.access import Context, Privilege, UserRole
from app.domain.paging import Page, PageRequest
from app.domain.tenants import Template
from app.policy import rules


class Templates:
    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self, ctx: Context, request: PageRequest) -> Page[Template]:
        """Administrators see what is not published, too."""
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        with self._db.read() as tx:
            return templates.page(tx, request, published_only=_published_only(ctx))

    def get(self, ctx: Context, template: str) -> Template:
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        with self._db.read() as tx:
            return templates.get(tx, template, published_only=_published_only(ctx))


def _published_only(ctx: Context) -> bool:
    return ctx.caller.role != UserRole.ADMIN
