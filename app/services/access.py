"""What a tenant may do, from both sides: our policy, and PVE's rights of the tenant's own token."""

from __future__ import annotations

from collections.abc import Mapping

from app.db import clusters, guests, tenants
from app.db.models import Tenant
from app.db.session import Database
from app.domain.access import EVERY_TENANT, Context, Privilege
from app.domain.errors import PveDenied
from app.domain.tenants import TenantAccess
from app.policy import acl, rules
from app.sagas.credentials import Credentials
from app.sagas.tenant_create import CATALOG_ROLE, GUEST_ROLE, ROLES, rights


class Access:
    """`catalog` is the pool of published templates."""

    def __init__(self, db: Database, credentials: Credentials, *, catalog: str) -> None:
        self._db = db
        self._credentials = credentials
        self._catalog = catalog

    def explain(self, ctx: Context, ref: str) -> TenantAccess:
        """Read from PVE with the tenant's own token. What should not differ and does is marked: rights that are missing
        on its pool, storages, bridges and guests, and rights that nobody gave it here. Paths outside the tenant are
        named to administrators and auditors only: they are others' guests, as a rule."""
        with self._db.read() as tx:
            tenant = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_AUDIT, on=tenant.id)
            own = guests.of_tenant(tx, tenant.id)
            catalog = clusters.seen_in_pool(tx, tenant.cluster_id, self._catalog)
        walls = rights(tenant.poolid, tenant.storages, tenant.bridges, self._catalog)
        expected = {path: ROLES[role] for path, role in walls}
        expected |= {_of_guest(row.vmid): ROLES[GUEST_ROLE] for row in own if row.state not in guests.UNSETTLED}
        tolerated = {_of_guest(vmid): ROLES[CATALOG_ROLE] for vmid in catalog}
        tolerated |= {_of_guest(row.vmid): ROLES[GUEST_ROLE] for row in own}
        actual = self._permissions(tenant)
        paths = acl.paths(expected, tolerated, actual or {})
        own_paths = [path for path in paths if path.path in expected or path.path in tolerated]
        return TenantAccess(
            tenant=tenant.id, pve_user=tenant.pve_user, suspended=tenant.suspended, token_accepted=actual is not None,
            actions=acl.actions(suspended=tenant.suspended, on_pool=(actual or {}).get(f"/pool/{tenant.poolid}", ())),
            paths=paths if rules.visible(ctx) == EVERY_TENANT else own_paths, outside=len(paths) - len(own_paths),
        )  # fmt: skip

    def _permissions(self, tenant: Tenant) -> Mapping[str, frozenset[str]] | None:
        """None where PVE does not take the token: asking what one may do needs no right at all."""
        try:
            return self._credentials.as_tenant(tenant.id).access.permissions()
        except PveDenied:
            return None


def _of_guest(vmid: int) -> str:
    return f"/vms/{vmid}"
