"""Rules of a level or of a security group: checked, inserted at the top, moved, removed."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from app.lab.call import Refused
from app.lab.guests.firewall.macros import MACROS
from app.lab.storage.words import words

Rule = dict[str, Any]
FIELDS = words("type action macro iface source dest proto sport dport icmp-type log comment enable")
_BY_NAME = re.compile(r"^(?:(?:dc|guest)/)?([A-Za-z][A-Za-z0-9_-]+)$")


def _addresses(rule: Rule, known: Mapping[str, set[str]], errors: dict[str, str]) -> int | None:
    """The IP version of a rule's addresses; unknown sets and aliases become errors."""
    version: int | None = None
    for end in ("source", "dest"):
        for part in str(rule.get(end, "")).split(","):
            if part.startswith("+"):
                name = part[1:].removeprefix("dc/").removeprefix("guest/")
                if name not in known["ipset"] and not name.startswith("sdn/"):
                    errors[end] = f"no such ipset '{name}'"
            elif match := _BY_NAME.match(part):
                if match[1] not in known["aliases"]:
                    errors[end] = f"no such alias '{match[1]}'"
            elif part:
                version = 6 if ":" in part else 4
    return version


def _ports(rule: Rule, errors: dict[str, str]) -> None:
    for port in ("dport", "sport"):
        if rule.get(port) and not rule.get("proto") and not rule.get("macro"):
            errors["proto"] = f"missing property - '{port}' requires this property"


def checked(rule: Rule, known: Mapping[str, set[str]], *, groups: bool, guest: bool) -> Rule:
    """The rule with its IP version. `known` has the names of ipsets and aliases in reach. Raises Refused 400."""
    errors: dict[str, str] = {}
    if rule["type"] == "group":
        if not groups:
            errors["type"] = "security groups not allowed"
    elif rule["action"] not in ("ACCEPT", "DROP", "REJECT"):
        errors["action"] = f"unknown action '{rule['action']}'"
    if rule.get("macro") and rule["macro"] not in MACROS:
        errors["macro"] = f"unknown macro '{rule['macro']}'"
    if guest and rule.get("iface") and not re.match(r"^net\d+$", rule["iface"]):
        errors["iface"] = "value does not match the regex pattern 'net\\d+'"
    version = _addresses(rule, known, errors)
    _ports(rule, errors)
    if errors:
        raise Refused.parameters(errors)
    if rule.get("proto") in ("icmp", "igmp"):
        version = 4
    elif rule.get("proto") in ("icmpv6", "ipv6-icmp"):
        version = 6
    plain = {key: value for key, value in rule.items() if key != "ipversion"}
    return plain if version is None else plain | {"ipversion": version}


def from_params(params: Mapping[str, Any]) -> Rule:
    """A new rule of a call's parameters; switched off unless asked otherwise."""
    return {"enable": 0} | {key: params[key] for key in FIELDS if key in params}


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
