"""Firewall rules: checked, placed and moved as PVE does it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.call import Refused
from app.lab.guests.firewall import rules

KNOWN: rules.Known = {"ipset": {"good": None}, "aliases": {"web": 4, "six": 6}}


def checked(**rule: object) -> rules.Rule:
    return rules.checked({"type": "in", "action": "ACCEPT"} | rule, KNOWN, groups=True, guest=True)


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        ({"action": "bogus"}, "action", "unknown action 'bogus'"),
        ({"macro": "Nope"}, "macro", "unknown macro 'Nope'"),
        ({"dport": "22"}, "proto", "missing property - 'dport' requires this property"),
        ({"source": "+nope"}, "source", "no such ipset 'nope'"),
        ({"dest": "noalias"}, "dest", "no such alias 'noalias'"),
        ({"iface": "eth0"}, "iface", "value does not match the regex pattern 'net\\d+'"),
        ({"macro": "SSH", "dport": "22"}, "proto", "missing property - 'dport' requires this property"),
        ({"proto": "gre", "dport": "22"}, "dport", "protocol 'gre' does not support ports"),
        ({"proto": "icmp", "sport": "22"}, "sport", "protocol 'icmp' does not support ports"),
        ({"icmp-type": "any"}, "proto", "missing property - 'icmp-type' requires this property"),
        ({"proto": "icmp", "icmp-type": "no-route"}, "icmp-type", "invalid icmp-type 'no-route' for proto 'icmp'"),
        ({"source": "192.0.2.1", "dest": "::1"}, "dest", "detected mixed ipv4/ipv6 addresses in rule"),
        ({"proto": "icmpv6", "source": "192.0.2.1"}, "source", "detected mixed ipv4/ipv6 addresses in rule"),
        ({"action": "no", "macro": "Nope"}, "action", "unknown action 'no'"),
    ],
)
def test_faulty_rules(rule: dict[str, object], name: str, text: str) -> None:
    with pytest.raises(Refused) as caught:
        checked(**rule)
    assert caught.value.status == 400
    assert caught.value.errors == {name: text}


def test_the_version_of_addresses_is_added() -> None:
    assert checked(source="192.0.2.0/24")["ipversion"] == 4
    assert checked(source="2001:db8::/32")["ipversion"] == 6
    assert "ipversion" not in checked(source="+good")
    assert checked(dest="WEB")["ipversion"] == 4
    assert checked(dest="six", proto="icmpv6")["ipversion"] == 6
    assert "ipversion" not in checked(proto="igmp")
    assert checked(type="group", action="any")["action"] == "any"


def test_a_group_names_no_interface() -> None:
    with pytest.raises(Refused) as caught:
        rules.checked({"type": "in", "action": "DROP", "iface": "net0"}, KNOWN, groups=False, guest=False)
    assert caught.value.errors == {"type": "parameter -i not allowed for this rule type"}


def test_a_rule_is_kept_as_the_file_is_read_back() -> None:
    kept = checked(macro="ssh", enable=7, comment=" why ")
    assert (kept["macro"], kept["enable"], kept["comment"]) == ("SSH", 1, "why")
    assert rules.fill({"comment": "x", "proto": "tcp"}, {"comment": "", "proto": "-", "sport": "1"}) == {"sport": "1"}


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1), st.integers(0, n + 1))))
def test_a_moved_rule_stands_before_the_one_it_was_moved_to(case: tuple[int, int, int]) -> None:
    count, pos, moveto = case
    listed = [{"n": n} for n in range(count)]
    rules.move(listed, pos, moveto)
    order = [rule["n"] for rule in listed]
    assert sorted(order) == list(range(count))
    if moveto >= count:
        assert order[-1] == pos
    elif moveto != pos:
        assert order.index(pos) == order.index(moveto) - 1
