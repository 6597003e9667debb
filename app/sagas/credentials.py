"""With which credential a saga speaks to PVE: the tenant's own, or, for what only it can do, the administrator's."""

from __future__ import annotations

import functools

from app.db import clusters, tenants
from app.db.models import Cluster
from app.db.session import Database, Tx
from app.db.vault import Vault
from app.domain.errors import PveDenied, Unavailable
from app.domain.identifiers import TokenId
from app.pve import ApiToken, Endpoint, Pve, PveConnections


class Credentials:
    """Opens sealed secrets at the last moment, and hands out connections that hold them."""

    def __init__(self, db: Database, vault: Vault, connections: PveConnections, *, timeout: float) -> None:
        self._db = db
        self._vault = vault
        self._connections = connections
        self._timeout = timeout

    def as_admin(self, cluster: str) -> Pve:
        """For tenants' walls, moves between pools, repair outside pools, tasks and inventory; never for guest work."""
        with self._db.read() as tx:
            row = clusters.get(tx, cluster)
        return self._connect(row, row.secret, belongs_to=row.id)

    def as_tenant(self, tenant: str) -> Pve:
        """For all work on a tenant's guests. Raises PveDenied where the tenant has no token (yet)."""
        with self._db.read() as tx:
            row = tenants.access(tx, tenant)
        if row is None or row.token_secret is None:
            raise PveDenied("The tenant has no access to its cluster.")
        return self._connect(row, row.token_secret, belongs_to=tenant)

    def cluster_of(self, tx: Tx, name: str | None) -> Cluster:
        return clusters.named(tx, name)

    def seal(self, secret: str, *, belongs_to: str) -> str:
        return self._vault.seal(secret, belongs_to=belongs_to)

    def open(self, sealed: str, *, belongs_to: str) -> str:
        return self._vault.open(sealed, belongs_to=belongs_to)

    def _connect(self, row: Cluster | tenants.Access, secret: str, *, belongs_to: str) -> Pve:
        if not row.url:
            raise Unavailable("The cluster has no address.")
        endpoint = _checked(row.url, row.ca_pem, row.fingerprint, self._timeout)
        token = ApiToken(TokenId.parse(row.token_id), self._vault.open(secret, belongs_to=belongs_to))
        return self._connections.connect(endpoint, token)


@functools.lru_cache(64)
def _checked(url: str, ca_pem: str | None, fingerprint: str | None, timeout: float) -> Endpoint:
    """Reading a certificate costs more than a call to PVE; the same ones come with every call."""
    return Endpoint(url=url, ca_pem=ca_pem, fingerprint=fingerprint, timeout=timeout)
