"""Clusters as a whole: whether they answer, and how full they are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from app.db import clusters, guests, tenants
from app.db.models import Cluster, Storage
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.clusters import Amount, ClusterAnswer, ClusterSummary, Cpu, GuestCount, NodeCount
from app.domain.errors import PveError
from app.policy import rules
from app.pve import ClusterStatus, NodeLoad
from app.sagas.credentials import Credentials

_MIB, _GIB = 1 << 20, 1 << 30


class Clusters:
    def __init__(self, db: Database, credentials: Credentials) -> None:
        self._db = db
        self._credentials = credentials

    def test(self, ctx: Context, name: str | None) -> ClusterAnswer:
        """One call, with the credential that the caller's own work goes out with. Raises PveDenied, PveAway."""
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            cluster = clusters.find(tx, rules.visible(ctx), name)
            tenant = None if rules.sees_clusters(ctx) else tenants.first_in(tx, rules.visible(ctx), cluster.id).id
        pve = self._credentials.as_admin(cluster.id) if tenant is None else self._credentials.as_tenant(tenant)
        began = time.perf_counter()
        found = pve.version()
        took = round((time.perf_counter() - began) * 1000, 1)
        return ClusterAnswer(cluster.name, found.version, found.release, found.repoid, took)

    def summary(self, ctx: Context, name: str | None) -> ClusterSummary:
        """From the inventory; for administrators and auditors with two calls also what it does not have: load and
        quorum. A cluster that is away is told as it was last seen."""
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        scope, sees_all = rules.visible(ctx), rules.sees_clusters(ctx)
        with self._db.read() as tx:
            cluster = clusters.find(tx, scope, name)
            nodes, storages = clusters.nodes(tx, cluster.id), clusters.storages(tx, cluster.id)
            states = guests.states(tx, scope, cluster.id)
            count = GuestCount(sum(states.values()), states, guests.unmanaged(tx, cluster.id) if sees_all else None)
        memory = Amount(sum(n.memory for n in nodes) // _MIB, sum(n.memory_used for n in nodes) // _MIB)
        quorum, loads, unreachable = self._live(cluster) if sees_all else (None, None, cluster.unreachable)
        return ClusterSummary(
            cluster=cluster.name, nodes=NodeCount(len(nodes), sum(n.online for n in nodes)), guests=count,
            cpu=_cpu(loads) if loads is not None else None, memory=memory if sees_all else None,
            disk=_disk(storages) if sees_all else None, quorate=quorum.quorate if quorum else None,
            unreachable=unreachable, observed_at=cluster.observed_at,
        )  # fmt: skip

    def _live(self, cluster: Cluster) -> tuple[ClusterStatus | None, Sequence[NodeLoad] | None, str | None]:
        pve = self._credentials.as_admin(cluster.id)
        try:
            return pve.cluster.status(), pve.cluster.nodes(), None
        except PveError as error:
            return None, None, error.code


def _cpu(loads: Sequence[NodeLoad]) -> Cpu:
    return Cpu(sum(load.maxcpu for load in loads), round(sum(load.cpu * load.maxcpu for load in loads), 2))


def _disk(storages: Iterable[Storage]) -> Amount:
    """A shared storage counts once."""
    own = {(storage.name, "" if storage.shared else storage.node): storage for storage in storages}
    return Amount(sum(one.total for one in own.values()) // _GIB, sum(one.used for one in own.values()) // _GIB)
