"""What this host is: the keeper of the workers looks, everybody else reads what it saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from app.db import local_host
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.errors import AppError, QemuAway, QemuRefused
from app.domain.local import LocalHost, Trouble
from app.domain.paging import Page, PageRequest, numbered
from app.policy import rules
from app.qemu import accelerator, opening
from app.qemu.driver import Accelerator, Host, HypervisorDriver

NOT_INSTALLED = "qemu.not_installed"


class LocalHosts:
    """Never asks libvirt. `enabled` False: the house runs without local QEMU."""

    def __init__(self, db: Database, *, enabled: bool) -> None:
        self._db = db
        self._enabled = enabled

    def show(self, ctx: Context) -> LocalHost:
        """Raises QemuAway, which says why the host cannot be used and what mends that."""
        rules.require_scope(ctx, Privilege.GUEST_AUDIT)
        return self._seen()

    def bridges(self, ctx: Context, request: PageRequest) -> Page[Mapping[str, Any]]:
        """The host's own, for administrators and auditors. Raises as `show`."""
        rules.require(ctx, Privilege.CLUSTER_AUDIT)
        return numbered([{"name": name} for name in self._seen().bridges], request)

    def interfaces(self, ctx: Context, request: PageRequest) -> Page[Mapping[str, Any]]:
        """Those that may carry guests by macvtap, for administrators and auditors. Raises as `show`."""
        rules.require(ctx, Privilege.CLUSTER_AUDIT)
        return numbered(self._seen().interfaces, request)

    def _seen(self) -> LocalHost:
        require_enabled(self._enabled)
        with self._db.read() as tx:
            seen = local_host.seen(tx)
        if seen is None:
            raise QemuAway("No worker has looked at this host yet.", remedy="Try again in a moment.")
        if isinstance(seen, Trouble):
            raise QemuAway(seen.detail, code=seen.code, remedy=seen.remedy)
        return seen


class LocalHostKeeper:
    """The worker's side. `uri` is libvirt's."""

    def __init__(self, db: Database, uri: str) -> None:
        self._db = db
        self._uri = uri
        self._driver: HypervisorDriver | None = None

    def look(self) -> None:
        """Write down what the host is, or why it cannot be used."""
        try:
            facts = _facts(self._opened().host())
        except (QemuAway, QemuRefused) as error:
            with self._db.begin() as tx:
                local_host.fail(tx, _trouble(error))
        else:
            with self._db.begin() as tx:
                local_host.observe(tx, facts)

    def _opened(self) -> HypervisorDriver:
        """The accelerator is probed once, and only where libvirt answers: the probe boots a machine."""
        if self._driver is None:
            unknown = Accelerator("tcg", "It is not probed yet.")
            opening.open_driver(self._uri, accelerator=unknown).host()
            self._driver = opening.open_driver(self._uri, accelerator=accelerator.probe())
        return self._driver


def require_enabled(enabled: bool) -> None:
    """Raises QemuAway `qemu.off`."""
    if not enabled:
        raise QemuAway("Local QEMU is switched off.", code="qemu.off", remedy="An administrator sets POOLHOUSE_QEMU=1.")


def _facts(host: Host) -> Mapping[str, Any]:
    found = dataclasses.asdict(host)
    lists: dict[str, Sequence[Any]] = {"cpu_models": list(host.cpu_models), "bridges": list(host.bridges)}
    return {**found, **lists, "features": sorted(host.features), "interfaces": list(found["interfaces"])}


def _trouble(error: AppError) -> Trouble:
    """What QEMU itself lacks is not installed, either: it can as little be used."""
    code = NOT_INSTALLED if error.code == "qemu.incomplete" else error.code
    remedy = error.remedy or "An administrator asks `poolhouse qemu doctor`."
    return Trouble(code, error.detail, remedy)
