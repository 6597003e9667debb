"""Named sizes: everybody deploys by them, administrators write them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any

from app.db import audit, flavors, plans
from app.db.models import Flavor as Row
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict
from app.domain.paging import Page, PageRequest
from app.domain.templates import Flavor, FlavorSpec
from app.policy import plans as policy
from app.policy import rules


class Flavors:
    """Guests keep their size when a flavor is changed or deleted: it is looked at when they are deployed, and never
    again."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self, ctx: Context, request: PageRequest) -> Page[Flavor]:
        """Those that a deployment of the caller's may name; all for who sees every tenant."""
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        tenants = rules.visible(ctx).tenants
        with self._db.read() as tx:
            allowed = None
            if tenants is not None:
                own = plans.of_user(tx, ctx.caller.user)
                of_group = own.flavors if own is not None else None
                allowed = policy.flavors(of_group, plans.flavors_of_tenants(tx, tenants))
            return flavors.page(tx, allowed, request)

    def create(self, ctx: Context, spec: FlavorSpec) -> Flavor:
        """Raises Conflict `name.taken`."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        with self._db.begin() as tx:
            row = Row(id=str(uuid.uuid4()), **dataclasses.asdict(spec))
            tx.add(row)
            tx.flush()
            audit.record(tx, ctx, "flavor.create", subject=row.name)
            return flavors.view(row)

    def change(self, ctx: Context, flavor: str, change: Mapping[str, Any]) -> Flavor:
        """`change` has members of a FlavorSpec. Raises Conflict `name.taken`."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        with self._db.begin() as tx:
            row = flavors.find(tx, flavor)
            for name, value in change.items():
                setattr(row, name, value)
            tx.flush()
            audit.record(tx, ctx, "flavor.change", subject=row.name)
            return flavors.view(row)

    def delete(self, ctx: Context, flavor: str) -> None:
        """Raises Conflict `flavor.in_use` while a plan names it."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        with self._db.begin() as tx:
            row = flavors.find(tx, flavor)
            if plans.with_flavor(tx, row.id):
                raise Conflict("A plan names this flavor.", code="flavor.in_use", remedy="Change the plan first.")
            tx.delete(row)
            audit.record(tx, ctx, "flavor.delete", subject=row.name)
