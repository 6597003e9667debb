"""Firewall rules: checked, placed and moved as PVE does it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.call import Refused
from app.lab.guests.firewall import rules

KNOWN = {"ipset": {"good"}, "aliases": {"web"}}


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
    assert "ipversion" not in checked(source="+good", dest="web")
    assert checked(type="group", action="any")["action"] == "any"


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
