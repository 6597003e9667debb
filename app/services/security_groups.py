"""Security groups: administrators write them, tenants see and use those that are published to them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from app.db import audit, clusters, security_groups, tenants
from app.db.models import SecurityGroup as Row
from app.db.session import Database, Tx
from app.domain.access import EVERY_TENANT, Context, Privilege
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.firewall import Rule, SecurityGroup, SecurityGroupChange, SecurityGroupSpec, SecurityGroupState
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.operations import Engine, Saga
from app.operations.engine import Submission
from app.policy import firewall, rules
from app.sagas import security_group
from app.sagas.credentials import Credentials

#: All groups of a cluster are in one file of PVE's, behind one lock.
QUEUE = "firewall"

Stored = list[dict[str, Any]]
"""Rules as JSON values."""


class SecurityGroups:
    def __init__(self, db: Database, engine: Engine, credentials: Credentials) -> None:
        self._db = db
        self._engine = engine
        self._credentials = credentials

    def list(self, ctx: Context, request: PageRequest) -> Page[SecurityGroup]:
        """Costs PVE nothing."""
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        with self._db.read() as tx:
            return security_groups.page(tx, rules.visible(ctx), request)

    def get(self, ctx: Context, ref: str) -> SecurityGroup:
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        scope = rules.visible(ctx)
        with self._db.read() as tx:
            return security_groups.views(tx, scope, [security_groups.find(tx, scope, ref)])[0]

    def create(self, ctx: Context, spec: SecurityGroupSpec) -> Operation:
        """Raises Conflict `name.taken`, Invalid."""
        rules.require(ctx, Privilege.FIREWALL_MODIFY)
        with self._db.read() as tx:
            cluster = clusters.find(tx, EVERY_TENANT, spec.cluster).id
        wanted = self._stored(cluster, spec.rules)
        with self._db.begin() as tx:
            clusters.lock(tx, cluster)
            if security_groups.is_offered(tx, EVERY_TENANT, cluster, spec.name):
                raise Conflict(
                    "A security group of this name exists.", code="name.taken", remedy="Choose another name."
                )
            row = Row(
                id=str(uuid.uuid4()), cluster_id=cluster, name=spec.name, comment=spec.comment, rules=wanted,
                published=spec.published, state=SecurityGroupState.CREATING,
            )  # fmt: skip
            tx.add(row)
            tx.flush()
            chosen = _tenants(tx, cluster, spec.tenants)
            return self._submit(tx, ctx, row, security_group.CREATE, rules=wanted, tenants=chosen)

    def change(self, ctx: Context, ref: str, change: SecurityGroupChange) -> Operation:
        """What is left out stays. Raises Conflict `security_group.busy`, Invalid."""
        rules.require(ctx, Privilege.FIREWALL_MODIFY)
        with self._db.read() as tx:
            found = security_groups.find(tx, EVERY_TENANT, ref)
        wanted = self._stored(found.cluster_id, change.rules) if change.rules is not None else None
        with self._db.begin() as tx:
            row = _free(tx, found.id)
            row.state = SecurityGroupState.CHANGING
            chosen = _tenants(tx, row.cluster_id, change.tenants) if change.tenants is not None else None
            return self._submit(
                tx, ctx, row, security_group.CHANGE, rules=wanted, comment=change.comment, published=change.published,
                tenants=chosen,
            )  # fmt: skip

    def delete(self, ctx: Context, ref: str) -> Operation:
        """Guests' rules that name it are left, and mean nothing any more. Raises Conflict `security_group.busy`."""
        rules.require(ctx, Privilege.FIREWALL_MODIFY)
        with self._db.begin() as tx:
            row = _free(tx, security_groups.find(tx, EVERY_TENANT, ref).id)
            row.state = SecurityGroupState.DELETING
            return self._submit(tx, ctx, row, security_group.DELETE, rules=row.rules)

    def _submit(self, tx: Tx, ctx: Context, row: Row, saga: Saga, **wanted: Any) -> Operation:
        audit.record(tx, ctx, saga.type, subject=row.name)
        parameters = security_group.Parameters(group=row.id, cluster=row.cluster_id, name=row.name, **wanted)
        return self._engine.submit(tx, ctx, saga, parameters, Submission(None, None, QUEUE, row.cluster_id))

    def _stored(self, cluster: str, wanted: Iterable[Rule]) -> Stored:
        """The rules as PVE writes them. Raises Invalid, each wrong one under its number."""
        found, wrong = [], {}
        macros: Sequence[str] | None = None
        for number, rule in enumerate(wanted):
            if rule.macro is not None and macros is None:
                macros = self._credentials.as_admin(cluster).cluster.firewall_macros()
            rule, faults = firewall.known(rule, macros or [])
            if faults:
                wrong[str(number)] = faults
            found.append(dataclasses.asdict(rule))
        if wrong:
            raise Invalid({"rules": wrong})
        return found


def _free(tx: Tx, group: str) -> Row:
    row = security_groups.lock(tx, group)
    if row is None:
        raise NotFound
    if row.state != SecurityGroupState.READY:
        raise Conflict(
            "An operation on this security group is still open.", code="security_group.busy",
            remedy="Wait until it has ended.",
        )  # fmt: skip
    return row


def _tenants(tx: Tx, cluster: str, refs: Iterable[str]) -> list[str]:
    found = []
    for ref in refs:
        try:
            row = tenants.find(tx, EVERY_TENANT, ref)
        except NotFound:
            row = None
        if row is None or row.cluster_id != cluster:
            raise Invalid({"tenants": [f"the cluster has no tenant {ref!r}"]})
        found.append(row.id)
    return sorted(set(found))
