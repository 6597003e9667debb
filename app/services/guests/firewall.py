"""The firewall in front of a guest: its options, and its rules by position, live from PVE."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from app.db import security_groups
from app.db.models import Guest
from app.domain.access import Context, Privilege, TenantScope
from app.domain.errors import Invalid, NotFound, PveChanged
from app.domain.firewall import FirewallOptions, Rule, Rules
from app.domain.guests import GuestKind
from app.domain.operations import Operation
from app.policy import firewall, rules
from app.sagas import guest, guest_firewall
from app.services.guests.on_guest import OnGuest, require_free

Expected = Collection[str] | None
"""Digests that the caller wishes to find; None: whatever it is."""

#: What PVE's worker reads and every node turns into filters again and again.
MOST_RULES = 250


class Firewalls(OnGuest):
    def options(self, ctx: Context, kind: GuestKind, ref: str) -> FirewallOptions:
        """With one call."""
        row, _ = self._read(ctx, kind, ref)
        found: FirewallOptions = self._live(ctx, row, lambda api: api.firewall.options())
        return found

    def set_options(
        self, ctx: Context, kind: GuestKind, ref: str, wanted: Mapping[str, bool | str | None], expected: Expected
    ) -> Operation:
        """What is None has PVE's default again; `enable` is set at each network card, too. Raises PveChanged."""
        digest = None
        if expected is not None:
            digest = self._expected_digest(ctx, kind, ref, expected, lambda api: api.firewall.options())
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            parameters = guest_firewall.OptionParameters(**guest.target(ctx, row), options=dict(wanted), digest=digest)
            return self._act(tx, ctx, row, guest_firewall.OPTIONS[kind], parameters)

    def rules(self, ctx: Context, kind: GuestKind, ref: str) -> Rules:
        """With one call."""
        row, _ = self._read(ctx, kind, ref)
        found: Rules = self._live(ctx, row, lambda api: api.firewall.rules.list())
        return found

    def add_rule(
        self, ctx: Context, kind: GuestKind, ref: str, rule: Rule, to: int | None, expected: Expected
    ) -> Operation:
        """On top, or at `to`. Raises Invalid, PveChanged."""
        row, found = self._to_change(ctx, kind, ref, expected)
        if len(found.rules) >= MOST_RULES:
            raise Invalid({"pos": [f"a guest has at most {MOST_RULES} rules"]})
        _require_place(to, len(found.rules) + 1)
        rule = self._checked(ctx, row, rule)
        if rule.group is not None:
            self._require_group(row, rule.group)
        return self._change_rules(ctx, kind, ref, found, rule=dataclasses.asdict(rule), to=to)

    def change_rule(
        self, ctx: Context, kind: GuestKind, ref: str, at: int, wanted: Mapping[str, Any], to: int | None,
        expected: Expected,
    ) -> Operation:  # fmt: skip
        """What `wanted` does not name stays. Raises NotFound, Invalid, PveChanged."""
        row, found = self._to_change(ctx, kind, ref, expected)
        rule = dataclasses.replace(_at(found, at), **wanted)
        _require_place(to, len(found.rules))
        rule = self._checked(ctx, row, rule)
        if rule.group is not None and rule.group != _at(found, at).group:
            self._require_group(row, rule.group)
        return self._change_rules(ctx, kind, ref, found, rule=dataclasses.asdict(rule), at=at, to=to)

    def delete_rule(self, ctx: Context, kind: GuestKind, ref: str, at: int, expected: Expected) -> Operation:
        """Raises NotFound, PveChanged."""
        _, found = self._to_change(ctx, kind, ref, expected)
        _at(found, at)
        return self._change_rules(ctx, kind, ref, found, at=at)

    def _to_change(self, ctx: Context, kind: GuestKind, ref: str, expected: Expected) -> tuple[Guest, Rules]:
        """The rules as they are now: the operation begins with the very same, or is refused."""
        with self._db.read() as tx:
            row = self._found(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_free(tx, row)
        found: Rules = self._live(ctx, row, lambda api: api.firewall.rules.list())
        if expected is not None and found.digest not in expected:
            raise PveChanged
        return row, found

    def _change_rules(self, ctx: Context, kind: GuestKind, ref: str, found: Rules, **change: Any) -> Operation:
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            parameters = guest_firewall.RuleParameters(**guest.target(ctx, row), digest=found.digest, **change)
            return self._act(tx, ctx, row, guest_firewall.RULES[kind], parameters)

    def _checked(self, ctx: Context, row: Guest, rule: Rule) -> Rule:
        """The rule as PVE writes it. Raises Invalid for what it would not take, and for what is not the tenant's."""
        pve = self._credentials.as_tenant(rules.acting(ctx, row.tenant_id))
        written, faults = firewall.known(rule, pve.cluster.firewall_macros() if rule.macro is not None else [])
        if faults:
            raise Invalid(faults)
        return written

    def _require_group(self, row: Guest, group: str) -> None:
        """PVE lets everybody name every group, so this lock is ours alone."""
        with self._db.read() as tx:
            if not security_groups.is_offered(tx, TenantScope(frozenset({row.tenant_id})), row.cluster_id, group):
                raise Invalid({"group": ["is not a security group that you may use"]})


def _at(found: Rules, at: int) -> Rule:
    if at >= len(found.rules):
        raise NotFound
    return found.rules[at]


def _require_place(to: int | None, count: int) -> None:
    if to is not None and to >= count:
        raise Invalid({"pos": [f"must be from 0 to {count - 1}"]})
