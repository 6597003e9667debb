""".../firewall of a guest: options, and rules by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.firewall import FirewallOptions, Rule, Rules, RuleType
from app.domain.identifiers import SecurityGroupName
from app.pve.answers import Row, rows
from app.pve.speaking import Path, Scalar, Speaker

#: What stands for the digest of no rules at all: PVE tells one with each rule.
EMPTY = "empty"

FLAGS = ("enable", "dhcp", "ndp", "radv", "macfilter", "ipfilter")
WORDS = ("policy_in", "policy_out", "log_level_in", "log_level_out")


class RulesApi:
    """A list of rules: a guest's, or a security group's. A stale digest is `pve.config_changed`."""

    def __init__(self, client: Speaker, path: Path) -> None:
        self._client = client
        self._path = path

    def list(self) -> Rules:
        found = sorted(rows(self._client.get(self._path)), key=lambda row: row.number("pos"))
        return Rules([_rule(row) for row in found], found[0].text("digest") if found else EMPTY)

    def add(self, rule: Rule) -> None:
        """On top: PVE puts a new one nowhere else."""
        self._client.post(self._path, {name: value for name, value in _wire(rule).items() if value is not None})

    def change(self, at: int, rule: Rule, digest: str | None = None) -> None:
        wire = _wire(rule)
        given = {name: value for name, value in wire.items() if value is not None}
        gone = ",".join(sorted(wire.keys() - given.keys()))
        self._client.put((*self._path, int(at)), {**given, "delete": gone or None, "digest": digest})

    def move(self, at: int, to: int, digest: str | None = None) -> None:
        """So that it stands at `to`. PVE's `moveto` is the rule that it goes before, as they stand now."""
        self._client.put((*self._path, int(at)), {"moveto": int(to) + (to > at), "digest": digest})

    def delete(self, at: int, digest: str | None = None) -> None:
        self._client.delete((*self._path, int(at)), {"digest": digest})


class GuestFirewallApi:
    def __init__(self, client: Speaker, path: Path) -> None:
        self._client = client
        self._path = path
        self.rules = RulesApi(client, (*path, "rules"))

    def options(self) -> FirewallOptions:
        row = Row(self._client.get((*self._path, "options")))
        flags: dict[str, Any] = {name: row.flag(name) if name in row.values else None for name in FLAGS}
        words: dict[str, Any] = {name: row.maybe(name) for name in WORDS}
        return FirewallOptions(digest=row.text("digest"), **flags, **words)

    def set_options(
        self, values: Mapping[str, bool | str], delete: Iterable[str] = (), digest: str | None = None
    ) -> None:
        """Those named in `delete` have PVE's default again."""
        self._client.put(
            (*self._path, "options"), {**values, "delete": ",".join(sorted(delete)) or None, "digest": digest}
        )


def _rule(row: Row) -> Rule:
    in_group = row.text("type") == RuleType.GROUP
    return Rule(
        type=row.text("type"), action=None if in_group else row.maybe("action"),
        group=row.maybe("action") if in_group else None, enable=row.flag("enable"), macro=row.maybe("macro"),
        iface=row.maybe("iface"), source=row.maybe("source"), dest=row.maybe("dest"), proto=row.maybe("proto"),
        sport=row.maybe("sport"), dport=row.maybe("dport"), icmp_type=row.maybe("icmp-type"), log=row.maybe("log"),
        comment=row.maybe("comment"),
    )  # fmt: skip


def _wire(rule: Rule) -> Mapping[str, Scalar]:
    return {
        "type": rule.type, "action": rule.group if rule.type == RuleType.GROUP else rule.action, "enable": rule.enable,
        "macro": rule.macro, "iface": rule.iface, "source": rule.source, "dest": rule.dest, "proto": rule.proto,
        "sport": rule.sport, "dport": rule.dport, "icmp-type": rule.icmp_type, "log": rule.log, "comment": rule.comment,
    }  # fmt: skip


class SecurityGroupsApi:
    """/cluster/firewall/groups: the same for all guests of the cluster."""

    def __init__(self, client: Speaker) -> None:
        self._client = client
        self._path: Path = ("cluster", "firewall", "groups")

    def comment(self, group: SecurityGroupName) -> str | None:
        """None: there is no such group."""
        found = (row for row in rows(self._client.get(self._path)) if row.text("group") == group)
        return next((row.text("comment").strip() for row in found), None)

    def create(self, group: SecurityGroupName, *, comment: str) -> None:
        """Raises PveRefused, `pve.exists`."""
        self._client.post(self._path, {"group": SecurityGroupName.parse(group), "comment": comment})

    def delete(self, group: SecurityGroupName) -> None:
        """PVE removes none that has rules: `pve.not_empty`. Guests' rules that name it are left, and mean nothing."""
        self._client.delete((*self._path, SecurityGroupName.parse(group)))

    def rules(self, group: SecurityGroupName) -> RulesApi:
        return RulesApi(self._client, (*self._path, SecurityGroupName.parse(group)))
