"""What a firewall rule of a tenant's may say: addresses and ports, and nothing that others have named.

IP sets and aliases are names of the cluster's or of somebody's: a rule that takes one means what they make of it later.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from app.domain.firewall import Rule, RuleType

_WITH_PORTS = ("tcp", "udp", "udplite", "sctp", "dccp")
_ICMP_VERSIONS = {"icmp": 4, "icmpv6": 6, "ipv6-icmp": 6}
PROTOCOLS = (*_WITH_PORTS, *_ICMP_VERSIONS, "igmp", "esp", "ah", "gre")
#: As ip(6)tables names them; these are the ones that people filter by.
_ICMP_TYPES = {
    4: (
        "any echo-reply destination-unreachable network-unreachable host-unreachable protocol-unreachable"
        " port-unreachable fragmentation-needed source-quench redirect echo-request router-advertisement"
        " router-solicitation time-exceeded ttl-zero-during-transit ttl-zero-during-reassembly parameter-problem"
        " timestamp-request timestamp-reply address-mask-request address-mask-reply"
    ),
    6: (
        "destination-unreachable no-route communication-prohibited beyond-scope address-unreachable port-unreachable"
        " packet-too-big time-exceeded ttl-zero-during-transit ttl-zero-during-reassembly parameter-problem"
        " echo-request echo-reply router-solicitation router-advertisement neighbor-solicitation"
        " neighbor-advertisement redirect"
    ),
}
#: multiport's, where a range counts twice.
_MOST_PORTS = 15
_BESIDE_A_GROUP = frozenset({"type", "group", "enable", "iface", "comment"})

Faults = Mapping[str, list[str]]


def faults(rule: Rule) -> Faults:
    """What is wrong with a rule, by field; nothing: PVE takes it."""
    found: dict[str, list[str]] = {}
    for field, told in _all_faults(rule):
        found.setdefault(field, []).append(told)
    return found


def known(rule: Rule, macros: Sequence[str]) -> tuple[Rule, Faults]:
    """The rule with its macro as PVE writes it (it reads any spelling), and what is wrong with it."""
    found = faults(rule)
    if rule.macro is None or found:
        return rule, found
    written = next((macro for macro in macros if macro.lower() == rule.macro.lower()), None)
    if written is None:
        return rule, {"macro": ["is no macro of Proxmox VE"]}
    return dataclasses.replace(rule, macro=written), {}


def _all_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.iface is not None and not re.fullmatch(r"net\d{1,2}", rule.iface, re.ASCII):
        yield "iface", "must be a network card of the guest, as net0"
    if rule.type == RuleType.GROUP:
        if rule.group is None:
            yield "group", "must name a security group"
        for field, value in vars(rule).items():
            if value is not None and field not in _BESIDE_A_GROUP:
                yield field, "has no meaning beside a group"
        return
    if rule.group is not None:
        yield "group", "is for rules of type group"
    if rule.action is None:
        yield "action", "must be ACCEPT, DROP or REJECT"
    if rule.macro is not None:
        for field in ("proto", "sport", "dport", "icmp_type"):
            if getattr(rule, field) is not None:
                yield field, "comes with the macro"
    yield from _port_faults(rule)
    yield from _address_faults(rule)


def _port_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    for field, value in (("sport", rule.sport), ("dport", rule.dport)):
        if value is None:
            continue
        if rule.proto not in _WITH_PORTS and rule.macro is None:
            yield "proto", f"must be one with ports ({', '.join(_WITH_PORTS)}) beside {field}"
        if (told := _ports_fault(value)) is not None:
            yield field, told
    if rule.icmp_type is None or rule.macro is not None:
        return
    version = _ICMP_VERSIONS.get(rule.proto or "")
    if version is None:
        yield "proto", "must be icmp or icmpv6 beside icmp_type"
    elif rule.icmp_type not in _ICMP_TYPES[version].split():
        yield "icmp_type", f"is none of {rule.proto}"


def _ports_fault(text: str) -> str | None:
    count = 0
    for part in text.split(","):
        ends = part.split(":")
        if len(ends) > 2 or not all(re.fullmatch(r"0|[1-9]\d{0,4}", end, re.ASCII) for end in ends):
            return "must be ports or ranges, as 22 or 80,443,8000:8080"
        if any(int(end) > 65535 for end in ends):
            return "must be at most 65535"
        if int(ends[0]) > int(ends[-1]):
            return "must have ranges that go upwards"
        count += len(ends)
    return f"must be at most {_MOST_PORTS} ports, a range counting as two" if count > _MOST_PORTS else None


def _address_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    version = _ICMP_VERSIONS.get(rule.proto or "")
    for field, value in (("source", rule.source), ("dest", rule.dest)):
        if value is None:
            continue
        try:
            versions = {_version_of(part) for part in value.split(",")}
        except ValueError:
            yield field, "must be addresses, networks or ranges, as 192.0.2.7 or 192.0.2.0/24,198.51.100.1-198.51.100.9"
            continue
        if len(versions | ({version} if version else set())) > 1:
            yield field, "must be of one IP version with the rest of the rule"
        version = version or versions.pop()


def _version_of(text: str) -> int:
    """4 or 6. Raises ValueError for what is no address, network or range."""
    if not re.fullmatch(r"[0-9A-Fa-f:.]+(?:/(?:0|[1-9]\d{0,2})|-[0-9A-Fa-f:.]+)?", text, re.ASCII):
        raise ValueError
    first, dash, last = text.partition("-")
    if not dash:
        return ipaddress.ip_interface(text).version
    ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if ends[0].version != ends[1].version or int(ends[0]) > int(ends[1]):
        raise ValueError
    return ends[0].version
