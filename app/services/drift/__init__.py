"""Drift as its readers see it, and what an administrator can do about it."""

from __future__ import annotations

import dataclasses

from app.db import drift, tenants
from app.db.session import Database
from app.domain.access import EVERY_TENANT, Context, Privilege
from app.domain.drift import Drift, DriftFilter
from app.domain.paging import Page, PageRequest
from app.policy import drift as drift_rules
from app.policy import rules


class Drifts:
    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self, ctx: Context, wanted: DriftFilter, request: PageRequest) -> Page[Drift]:
        """Newest first; members see their tenants' own, without the names of others' pools."""
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            if wanted.tenant is not None:
                wanted = dataclasses.replace(wanted, tenant=tenants.find(tx, scope, wanted.tenant).id)
            found = drift.page(tx, scope, wanted, request)
        if scope == EVERY_TENANT:
            return found
        told = [dataclasses.replace(one, differences=drift_rules.for_members(one.differences)) for one in found.data]
        return Page(told, found.count, found.next)
