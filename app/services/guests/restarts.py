"""Restarts of guests, watched until they are there again: one at a time, not again before a cooldown is over."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from app.db import operations
from app.db.models import Guest
from app.db.session import Database, Tx, now
from app.domain.access import Context, Privilege
from app.domain.errors import Busy, Conflict, Invalid, TooSoon
from app.domain.guests import GuestKind, Restart
from app.domain.operations import Operation
from app.operations import Engine
from app.policy import addresses
from app.policy import quota as quota_rules
from app.sagas import guest, guest_restart
from app.sagas.claims import claim
from app.sagas.credentials import Credentials
from app.services.guests.on_guest import GuestRules, OnGuest, require_no_template

_DAY = timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class RestartRules:
    """Guests in `networks` may be connected to though these are not public; `per_day` is how many restarts of a user in
    a tenant may succeed within 24 hours, 0: any number."""

    networks: tuple[str, ...]
    per_day: int


class Restarts(OnGuest):
    def __init__(
        self, db: Database, engine: Engine, credentials: Credentials, settings: GuestRules, limits: RestartRules
    ) -> None:
        super().__init__(db, engine, credentials, settings)
        self._limits = limits

    def restart(self, ctx: Context, kind: GuestKind, ref: str, wanted: Restart) -> Operation:
        """A guest that is off is started. Claims the running quota.

        Raises Conflict `restart.in_progress`; TooSoon `restart.cooldown`, `restart.limit`; Invalid for a host that is
        no address of the guest's own, or none that may be reached.
        """
        if wanted.watch.host is not None:
            self._require_own(ctx, kind, ref, wanted.watch.host)
        with self._db.begin() as tx:
            row = self._unless_restarting(tx, ctx, kind, ref)
            require_no_template(row)
            self._require_time(tx, ctx, row)
            claim(tx, row, quota_rules.of_running(cores=row.cores, memory=row.memory))
            parameters = guest_restart.Parameters(
                **guest.target(ctx, row), watch=dataclasses.asdict(wanted.watch),
                networks=list(self._limits.networks), cooldown=wanted.cooldown,
                shutdown_timeout=wanted.shutdown_timeout,
            )  # fmt: skip
            return self._act(tx, ctx, row, guest_restart.RESTARTS[kind], parameters)

    def _require_own(self, ctx: Context, kind: GuestKind, ref: str, host: str) -> None:
        """The worker looks again when the guest runs: an address may have become another's meanwhile."""
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_POWER)
        own = [*row.addresses]
        if host not in own:
            own += self._live(ctx, row, lambda api: [*api.addresses(), *api.config().fixed_addresses])
        if host not in own:
            raise Invalid({"watch": {"tcp": {"host": ["is not an address of this guest"]}}})
        if not addresses.of_guest([host], self._limits.networks):
            raise Invalid({"watch": {"tcp": {"host": ["may not be reached from here"]}}})

    def _unless_restarting(self, tx: Tx, ctx: Context, kind: GuestKind, ref: str) -> Guest:
        try:
            return self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_POWER)
        except Busy as busy:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_POWER)
            if operations.open_on(tx, row.id, guest_restart.TYPES) is None:
                raise
            raise Conflict(
                "The guest is being restarted.", code="restart.in_progress",
                remedy="Wait until that restart has ended.", **busy.members,
            ) from busy  # fmt: skip

    def _require_time(self, tx: Tx, ctx: Context, row: Guest) -> None:
        """Only what succeeded counts."""
        last = operations.last_success(tx, row.id, guest_restart.TYPES)
        if last is not None:
            ended, parameters = last
            left = timedelta(seconds=parameters["cooldown"]) - (now() - ended)
            if left > timedelta():
                raise TooSoon("The guest was restarted a short while ago.", retry_after=_seconds(left))
        if not self._limits.per_day:
            return
        ends = operations.successes_since(
            tx, row.tenant_id, now() - _DAY, by=ctx.caller.username, types=guest_restart.TYPES
        )
        if len(ends) >= self._limits.per_day:
            free = ends[-self._limits.per_day] + _DAY - now()
            raise TooSoon(
                f"{self._limits.per_day} restarts within 24 hours are allowed.", code="restart.limit",
                retry_after=_seconds(free), limit=self._limits.per_day, used=len(ends),
            )  # fmt: skip


def _seconds(time: timedelta) -> int:
    return max(1, -int(-time.total_seconds() // 1))
