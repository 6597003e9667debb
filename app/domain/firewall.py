"""The firewall in front of a guest, in PVE's words: its options, and its rules by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RuleType(StrEnum):
    """`group` stands for the rules of a security group."""

    IN = "in"
    OUT = "out"
    GROUP = "group"


class RuleAction(StrEnum):
    ACCEPT = "ACCEPT"
    DROP = "DROP"
    REJECT = "REJECT"


class LogLevel(StrEnum):
    EMERG = "emerg"
    ALERT = "alert"
    CRIT = "crit"
    ERR = "err"
    WARNING = "warning"
    NOTICE = "notice"
    INFO = "info"
    DEBUG = "debug"
    NOLOG = "nolog"


@dataclass(frozen=True)
class Rule:
    """What passes (`action`), or whose rules stand here (`group`); None: not named.

    `source` and `dest` are addresses, networks and ranges, separated by commas; `sport` and `dport` ports and ranges
    (`8000:8080`). A `macro` brings protocol and ports with it.
    """

    type: str
    action: str | None = None
    group: str | None = None
    enable: bool = True
    macro: str | None = None
    iface: str | None = None
    source: str | None = None
    dest: str | None = None
    proto: str | None = None
    sport: str | None = None
    dport: str | None = None
    icmp_type: str | None = None
    log: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Rules:
    """The first rule that fits decides. `digest` changes with the rules."""

    rules: Sequence[Rule]
    digest: str


@dataclass(frozen=True)
class FirewallOptions:
    """None: not set, so PVE's own default holds. `digest` changes with the options."""

    digest: str
    enable: bool | None = None
    policy_in: str | None = None
    policy_out: str | None = None
    dhcp: bool | None = None
    ndp: bool | None = None
    radv: bool | None = None
    macfilter: bool | None = None
    ipfilter: bool | None = None
    log_level_in: str | None = None
    log_level_out: str | None = None


class SecurityGroupState(StrEnum):
    CREATING = "creating"
    READY = "ready"
    CHANGING = "changing"
    DELETING = "deleting"


@dataclass(frozen=True)
class SecurityGroupSpec:
    """`published`: every tenant of its cluster may use it; else those of `tenants`, by id or name."""

    name: str
    cluster: str | None = None
    comment: str = ""
    rules: tuple[Rule, ...] = ()
    published: bool = False
    tenants: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecurityGroupChange:
    """What is to be different; None stays as it is."""

    comment: str | None = None
    rules: tuple[Rule, ...] | None = None
    published: bool | None = None
    tenants: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SecurityGroup:
    """Rules that a rule of type group stands for, the same for all who use it. `tenants`: as far as the reader may
    see them."""

    id: str
    name: str
    cluster: str
    comment: str
    rules: Sequence[Rule]
    published: bool
    tenants: Sequence[str]
    state: SecurityGroupState
    created_at: datetime


def with_rule(rules: Sequence[Rule], rule: Rule | None, at: int | None) -> list[Rule]:
    """The rules with this one on top (`at` None), in the place of the one at `at`, or, for None, without that one."""
    if at is None:
        return [*([rule] if rule is not None else []), *rules]
    return [*rules[:at], *([rule] if rule is not None else []), *rules[at + 1 :]]


def moved(rules: Sequence[Rule], at: int, to: int) -> list[Rule]:
    """The rules with the one at `at` standing at `to`."""
    rest = [*rules[:at], *rules[at + 1 :]]
    return [*rest[:to], rules[at], *rest[to:]]
