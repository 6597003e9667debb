"""Rules of a level or of a security group: checked, inserted at the top, moved, removed."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.lab.call import Refused
from app.lab.guests.firewall.macros import MACROS
from app.lab.icmp import ICMP_TYPES, ICMPV6_TYPES
from app.lab.storage.words import words

Rule = dict[str, Any]
Known = Mapping[str, Mapping[str, int | None]]
"""What rules may name: under `ipset` the sets, under `aliases` the aliases in small letters with their IP version."""

FIELDS = words("type action macro iface source dest proto sport dport icmp-type log comment enable")
_BY_NAME = re.compile(r"^(?:(?:dc|guest)/)?([A-Za-z][A-Za-z0-9_-]+)$")


_WITH_PORTS = frozenset(words("tcp udp udplite sctp dccp 6 17 33 132 136"))
_ICMP = frozenset(words("icmp icmpv6 ipv6-icmp"))
_REQUIRED = frozenset({"type", "action"})
_FIXED_VERSION = {"icmp": 4, "icmpv6": 6, "ipv6-icmp": 6}
_MIXED = "detected mixed ipv4/ipv6 addresses in rule"
_MACRO_NAMES = {name.lower(): name for name in MACROS}


def _bad(name: str, text: str) -> Refused:
    return Refused.parameters({name: text})


def _require_action(rule: Rule, *, groups: bool) -> None:
    if rule["type"] == "group":
        if not groups:
            raise _bad("type", "security groups not allowed")
    elif rule["action"] not in ("ACCEPT", "DROP", "REJECT"):
        raise _bad("action", f"unknown action '{rule['action']}'")


def _require_iface(rule: Rule, *, groups: bool, guest: bool) -> None:
    if not rule.get("iface"):
        return
    if not groups:
        raise _bad("type", "parameter -i not allowed for this rule type")
    if guest and not re.match(r"^net\d+$", rule["iface"]):
        raise _bad("iface", "value does not match the regex pattern 'net\\d+'")


def _require_ports(rule: Rule) -> None:
    proto = rule.get("proto", "")
    if rule.get("dport"):
        if not proto:
            raise _bad("proto", "missing property - 'dport' requires this property")
        if proto not in _WITH_PORTS and proto not in ("icmp", "icmpv6"):
            raise _bad("dport", f"protocol '{proto}' does not support ports")
    if kind := rule.get("icmp-type"):
        if proto not in _ICMP:
            raise _bad("proto", "missing property - 'icmp-type' requires this property")
        if rule.get("dport"):
            raise _bad("icmp-type", "'icmp-type' cannot be specified together with 'dport'")
        if kind not in (ICMP_TYPES if proto == "icmp" else ICMPV6_TYPES):
            raise _bad("icmp-type", f"invalid icmp-type '{kind}' for proto '{proto}'")
    if rule.get("sport"):
        if not proto:
            raise _bad("proto", "missing property - 'sport' requires this property")
        if proto not in _WITH_PORTS:
            raise _bad("sport", f"protocol '{proto}' does not support ports")


def _version_of(end: str, value: str, known: Known) -> int | None:
    """The IP version of a rule's source or destination; sets have none. Raises Refused 400 for unknown names."""
    if value.startswith("+"):
        scope, _, name = value[1:].rpartition("/")
        if not re.match(r"^[A-Za-z][A-Za-z0-9_-]+$", name) and scope != "sdn":
            raise _bad(end, f"invalid ipset name '{value}'")
        if name not in known["ipset"] and scope != "sdn":
            raise _bad(end, f"no such ipset '{name}'")
        return None
    if match := _BY_NAME.match(value):
        if match[1].lower() not in known["aliases"]:
            raise _bad(end, f"no such alias '{match[1]}'")
        return known["aliases"][match[1].lower()]
    return 6 if ":" in value else 4


def _version(rule: Rule, known: Known) -> int | None:
    version = _FIXED_VERSION.get(rule.get("proto", ""))
    for end in ("source", "dest"):
        if value := str(rule.get(end, "")):
            found = _version_of(end, value, known)
            if found and version and found != version:
                raise Refused(500, _MIXED) if _BY_NAME.match(value) else _bad(end, _MIXED)
            version = found or version
    return version


def checked(rule: Rule, known: Known, *, groups: bool, guest: bool) -> Rule:
    """The rule as the file keeps it, with its IP version. Raises Refused 400 with the first fault that PVE sees."""
    _require_action(rule, groups=groups)
    _require_iface(rule, groups=groups, guest=guest)
    plain = {key: value for key, value in rule.items() if key != "ipversion"}
    if macro := rule.get("macro"):
        if macro.lower() not in _MACRO_NAMES:
            raise _bad("macro", f"unknown macro '{macro}'")
        plain["macro"] = _MACRO_NAMES[macro.lower()]
    _require_ports(rule)
    version = _version(rule, known)
    plain["enable"] = int(bool(plain.get("enable")))
    if "comment" in plain:
        plain["comment"] = plain["comment"].strip()
    return plain if version is None else plain | {"ipversion": version}


def fill(rule: Rule, params: Mapping[str, Any]) -> Rule:
    """The rule with a call's parameters in it; an empty one, or a dash, takes the property away."""
    given = {key: params[key] for key in FIELDS if key in params}
    gone = {key for key, value in given.items() if value in ("", "-")}
    return {key: value for key, value in (rule | given).items() if key not in gone}


def without(rule: Rule, names: Iterable[str]) -> Rule:
    """The rule without some of its properties. Raises Refused 400 for those that it must have, or never has."""
    for name in names:
        if name not in (*FIELDS, "pos", "digest"):
            raise _bad("delete", f"no such property ('{name}')")
        if name in _REQUIRED:
            raise _bad("delete", f"unable to delete required property '{name}'")
    return {key: value for key, value in rule.items() if key not in names}


def from_params(params: Mapping[str, Any]) -> Rule:
    """A new rule of a call's parameters; switched off unless asked otherwise."""
    return {"enable": 0} | fill({}, params)


def at(rules: list[Rule], pos: int) -> Rule:
    if pos >= len(rules):
        raise Refused(500, f"no rule at position {pos}")
    return rules[pos]


def move(rules: list[Rule], pos: int, moveto: int) -> None:
    """Put the rule in front of the one that is at `moveto` now (pve-firewall 6: update_rule)."""
    rule = rules[pos]
    moved = [*rules[:pos], *rules[pos + 1 :]]
    place = moveto - 1 if moveto > pos else moveto
    moved.insert(min(place, len(moved)), rule)
    rules[:] = moved


def address_version(cidr: str) -> int:
    """4 or 6, for aliases."""
    return ipaddress.ip_network(cidr.split("-")[0], strict=False).version


def written(cidr: str) -> str:
    """An address or network as the file is read back: a network of one address is that address."""
    return re.sub(r"/128$" if ":" in cidr else r"/32$", "", cidr)


def network(cidr: str) -> str:
    """An entry of an IP set, its host bits cleared."""
    return written(str(ipaddress.ip_network(cidr, strict=False)) if "/" in cidr else cidr)
