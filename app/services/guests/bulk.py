"""Many guests in one request: what is charged is charged for all or for none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from app.db import guests
from app.db.models import Guest
from app.db.session import Database, rehearsal_of
from app.domain.access import Context, Privilege
from app.domain.bulk import BatchWish, BulkAction, BulkItem, BulkWish
from app.domain.deployments import Deployed
from app.domain.errors import AppError, Conflict, Invalid, QuotaExceeded
from app.domain.guests import GuestKind
from app.domain.operations import Operation
from app.policy import rules
from app.services.guests import Guests
from app.services.guests.deployments import Deployments


class Bulk:
    def __init__(self, db: Database, one: Guests, deployments: Deployments) -> None:
        self._db = db
        self._one = one
        self._deployments = deployments

    def act(self, ctx: Context, wish: BulkWish) -> Sequence[BulkItem]:
        """An operation for each guest, in the order asked for; one whose state does not allow it has an error instead,
        and keeps no other back.

        Raises QuotaExceeded for all of them together, Forbidden, Invalid where a guest is not the caller's.
        """
        rules.holding(ctx, Privilege.GUEST_ALLOCATE if wish.action == BulkAction.DELETE else Privilege.GUEST_POWER)
        with self._db.begin() as tx:
            found = guests.among(tx, rules.visible(ctx), wish.guests)
            if missing := [guest for guest in wish.guests if guest not in found]:
                raise Invalid({"guests": [f"{guest} is not a guest that you may use" for guest in missing]})
            rows = {row.id: row for row in found.values()}
            done: dict[str, BulkItem] = {}
            for row in sorted(rows.values(), key=lambda row: (row.tenant_id, row.id)):  # as all lock their tenants
                try:
                    with tx.begin_nested():
                        done[row.id] = BulkItem(row.id, self._act_on(ctx, row, wish), None)
                except Conflict as error:
                    done[row.id] = BulkItem(row.id, None, error)
                    if (rehearsal := rehearsal_of(tx)) is not None:
                        rehearsal.violations.append(error)
            return [done[guest] for guest in dict.fromkeys(found[named].id for named in wish.guests)]

    def batch(self, ctx: Context, wish: BatchWish) -> Sequence[Deployed]:
        """All of them, or none. Raises as a deployment does; QuotaExceeded is for all of them."""
        made: list[Deployed] = []
        try:
            with self._db.begin() as tx:
                for name in wish.names():
                    made.append(self._deployments.deploy(ctx, dataclasses.replace(wish.spec, name=name)))
                if (rehearsal := rehearsal_of(tx)) is not None:
                    rehearsal.violations[:] = _for_all(rehearsal.violations, wish.count)
                return made
        except Invalid as error:
            raise Invalid({"spec": error.members["errors"]}, error.detail, code=error.code) from error
        except QuotaExceeded as error:
            raise _for_all_after(error, len(made), wish.count) from error

    def _act_on(self, ctx: Context, row: Guest, wish: BulkWish) -> Operation:
        kind = GuestKind(row.kind)
        match wish.action:
            case BulkAction.START:
                return self._one.start(ctx, kind, row.id)
            case BulkAction.STOP:
                return self._one.stop(ctx, kind, row.id, force=wish.force)
            case BulkAction.REBOOT:
                return self._one.reboot(ctx, kind, row.id)
            case BulkAction.DELETE:
                return self._one.delete(ctx, kind, row.id, purge=False, force=wish.force)
            case button:
                return self._one.press(ctx, kind, row.id, button)


def _for_all_after(error: QuotaExceeded, had_room: int, count: int) -> QuotaExceeded:
    """What `count` equal guests lack, of which the first ones had room."""
    told = error.members
    return QuotaExceeded(
        told["dimension"], limit=told["limit"], used=told["used"] - had_room * told["requested"],
        requested=count * told["requested"], whose=told["whose"],
    )  # fmt: skip


def _for_all(violations: Sequence[AppError], count: int) -> list[AppError]:
    """One for each limit, not for each guest."""
    found: dict[tuple[str, str], list[AppError]] = {}
    for error in violations:
        found.setdefault((error.members.get("dimension", error.code), error.members.get("whose", "")), []).append(error)
    firsts = ((errors[0], count - len(errors)) for errors in found.values())
    return [
        _for_all_after(first, before, count) if isinstance(first, QuotaExceeded) else first for first, before in firsts
    ]
