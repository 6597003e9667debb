"""Privileged containers in tenants' pools: found, told, marked, and stopped where that is wanted.

None comes from here, but whoever administers the cluster can restore one into a pool, or move it there. The inventory
tells when a container appears, starts or changes; only then is its configuration read, once. What no listing shows (a
stopped one that was edited) is found at its start, or by the one look a round that goes to the longest unseen, if that
is an hour.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from app.db import audit, clusters, strays
from app.db.session import Database, now
from app.db.strays import Due
from app.domain.errors import PveAbsent, PveError
from app.domain.identifiers import NodeName, VmId
from app.pve import GuestConfig
from app.sagas.credentials import Credentials

_LOOKS = 50
_REST = timedelta(hours=1)
_LONGEST = timedelta(minutes=10)

log = structlog.get_logger(__name__)


class Strays:
    """`stop`: a privileged container that runs is stopped, with its tenant's own token."""

    def __init__(self, db: Database, credentials: Credentials, *, stop: bool) -> None:
        self._db = db
        self._credentials = credentials
        self._stop = stop
        self._came_to_its_end = False

    def sweep(self) -> None:
        """Look at what is due in every cluster, at most `_LOOKS` containers each."""
        if not self._came_to_its_end:
            with self._db.begin() as tx:
                strays.doubt_since(tx, now() - _LONGEST)
        self._came_to_its_end = False
        with self._db.read() as tx:
            names = {cluster.id: cluster.name for cluster in clusters.every(tx)}
        for cluster, name in names.items():
            with self._db.begin() as tx:
                due = strays.take_due(tx, cluster, most=_LOOKS, rest=_REST)
            unseen = [one.vmid for one in due if not self._look(cluster, name, one)]
            if unseen:
                with self._db.begin() as tx:
                    strays.look_again(tx, cluster, unseen)
        self._came_to_its_end = True

    def _look(self, cluster: str, name: str, due: Due) -> bool:
        """False where it has to be looked at again."""
        try:
            config = self._credentials.as_admin(cluster).node(NodeName(due.node)).lxc(VmId(due.vmid)).config()
            if not config.is_whole:
                return False
            stopped = self._stop and due.running and self._stopped(due, config)
        except PveAbsent:
            return True
        except PveError as error:
            log.warning("stray.unseen", cluster=name, vmid=due.vmid, code=error.code, reason=error.upstream)
            return False
        subject = f"{due.name} (ct {due.vmid} on {due.node} of {name})"
        with self._db.begin() as tx:
            guest, news = strays.note(tx, cluster, due, privileged=not config.unprivileged)
            ours = guest.id if guest is not None and guest.tenant_id == due.tenant else None
            if news:
                audit.record_own(tx, "ct.privileged", tenant=due.tenant, guest=ours, subject=subject, result="alert")
            if stopped:
                audit.record_own(tx, "ct.stop", tenant=due.tenant, guest=ours, subject=subject, result="ok")
        if news or stopped:
            log.error(
                "guest.privileged", cluster=name, node=due.node, vmid=due.vmid, tenant=due.tenant, guest=ours,
                running=due.running, stopped=stopped,
            )  # fmt: skip
        return True

    def _stopped(self, due: Due, config: GuestConfig) -> bool:
        if config.unprivileged:
            return False
        self._credentials.as_tenant(due.tenant).node(NodeName(due.node)).lxc(VmId(due.vmid)).stop()
        return True
