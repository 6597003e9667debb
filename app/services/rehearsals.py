"""Dry runs: the use case itself, in a transaction of which nothing is kept.

So a dry run decides by the code that decides otherwise: what is refused, where a guest goes and what it is charged.
Only PVE is not asked to change anything, as that is a worker's, and no worker sees the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.db import operations, quota
from app.db.models import Operation
from app.db.session import Database
from app.domain.errors import CapacityExceeded, Conflict
from app.domain.quota import Dimension
from app.domain.rehearsal import Plan, PlannedCall, QuotaForecast, Rehearsal
from app.operations import Saga


class Rehearsals:
    def __init__(self, db: Database, sagas: Mapping[str, Saga]) -> None:
        self._db = db
        self._sagas = sagas

    def run(self, do: Callable[[], Any]) -> Plan:
        """What `do` would come to. A quota that is too small, no room, or a state that does not allow it are violations
        of the plan; who may not do it at all, or asks for what is wrong in itself, is refused as ever."""
        rehearsal = Rehearsal()
        with self._db.rehearse(rehearsal) as tx:
            try:
                do()
            except (Conflict, CapacityExceeded) as error:
                rehearsal.violations.append(error)
            planned = [operations.row(tx, operation) for operation in rehearsal.operations]
            calls = [call for row in planned for call in self._calls(row)]
            tenants = {row.tenant_id for row in planned if row.tenant_id is not None}
            after = quota.used_by_tenant(tx, sorted(tenants))
            limits = quota.limits_by_tenant(tx, sorted(tenants))
        return Plan(
            placement=next(iter(rehearsal.places), None),
            quota=self._forecast(limits, after),
            calls=calls,
            violations=rehearsal.violations,
        )

    def _calls(self, row: Operation) -> Sequence[PlannedCall]:
        saga = self._sagas[row.type]
        told = saga.calls(saga.load(row.parameters))
        return [PlannedCall(row.type, step, call.method, call.path, call.certain) for step, call in told]

    def _forecast(
        self,
        limits: Mapping[str, Mapping[Dimension, int]],
        after: Mapping[str, Mapping[Dimension, int]],
    ) -> QuotaForecast | None:
        if len(after) != 1:
            return None
        (tenant,) = after
        with self._db.read() as tx:
            before = quota.used(tx, tenant)
        may_have = {dimension: limits[tenant].get(dimension) for dimension in Dimension}
        return QuotaForecast(tenant, may_have, before, after[tenant])
