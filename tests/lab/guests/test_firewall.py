"""Aliases, sets, groups, options and rules of the firewall over HTTP, where the recorded scenarios end."""

from typing import Any

import pytest

from tests.lab.guests.api import Api

STALE = "detected modified configuration - file changed by other user? Try again."
LEVELS = ("/cluster/firewall", "/nodes/n1/qemu/100/firewall")


@pytest.fixture
def owner(root: Api) -> Api:
    root.machine(100)
    return root


def errors(root: Api, method: str, path: str, /, **params: Any) -> Any:
    answer = root.ask(method, path, **params)
    assert answer.status in (400, 500), answer
    return answer.errors or answer.reason


@pytest.mark.parametrize("level", LEVELS)
def test_members_of_a_set(owner: Api, level: str) -> None:
    at = f"{level}/ipset/set1"
    owner.do("POST", f"{level}/ipset", name="set1")
    owner.do("POST", f"{level}/aliases", name="Net1", cidr="192.0.2.0/24")
    owner.do("POST", at, cidr="192.0.2.1/32", comment="one")
    owner.do("POST", at, cidr="198.51.100.7/24", nomatch=1)
    owner.do("POST", at, cidr="net1", nomatch=0)
    assert errors(owner, "POST", at, cidr="192.0.2.1") == {"cidr": "address '192.0.2.1' already exists"}
    assert errors(owner, "POST", at, cidr="198.51.100.0/24") == {"cidr": "address '198.51.100.0/24' already exists"}
    assert errors(owner, "POST", at, cidr="0.0.0.0/0") == {"cidr": "a zero prefix is not allowed in ipset entries"}
    assert errors(owner, "POST", at, cidr="bogus") == "no such alias 'bogus'"
    assert [{k: v for k, v in row.items() if k != "digest"} for row in owner.get(at)] == [
        {"cidr": "192.0.2.1", "comment": "one"},
        {"cidr": "198.51.100.0/24", "nomatch": 1},
        {"cidr": "net1"},
    ]
    digest = owner.get(f"{at}/198.51.100.0/24")["digest"]
    owner.do("PUT", f"{at}/198.51.100.0/24", comment="now matches", digest=digest)
    assert errors(owner, "PUT", f"{at}/192.0.2.1", digest=digest) == STALE
    entry = owner.get(f"{at}/198.51.100.0%2F24")
    assert (entry["comment"], "nomatch" in entry) == ("now matches", False)
    assert errors(owner, "PUT", f"{at}/192.0.2.9", comment="x") == {"cidr": "no such IP/Network"}
    owner.do("DELETE", f"{at}/192.0.2.9")
    assert errors(owner, "DELETE", at) == "IPSet 'set1' is not empty"
    owner.do("DELETE", at, force=1)
    assert errors(owner, "DELETE", at) == "no such IPSet 'set1'"


def test_sets_and_groups_renamed(owner: Api) -> None:
    for path, param, word in (("ipset", "name", "IPSet"), ("groups", "group", "Security group")):
        at = f"/cluster/firewall/{path}"
        for name in ("aa", "bb"):
            owner.do("POST", at, **{param: name})
        assert errors(owner, "POST", at, **{param: "cc", "rename": "no"}) == {param: f"{word} 'no' does not exists"}
        assert errors(owner, "POST", at, **{param: "aa", "rename": "bb"}) == {param: f"{word} 'aa' does already exist"}
        stale = "0" * 40
        assert errors(owner, "POST", at, **{param: "cc", "rename": "bb", "digest": stale}) == STALE
        owner.do("POST", at, **{param: "cc", "digest": stale})
        owner.do("POST", at, **{param: "bb", "rename": "bb", "comment": "same"})
        assert [row.get("comment") for row in owner.get(at)] == [None, "same", None]


@pytest.mark.parametrize("level", LEVELS)
def test_aliases_know_no_case(owner: Api, level: str) -> None:
    at = f"{level}/aliases"
    owner.do("POST", at, name="Web", cidr="192.0.2.1/32", comment="")
    assert errors(owner, "POST", at, name="wEB", cidr="192.0.2.2") == {"name": "alias 'wEB' already exists"}
    assert owner.get(f"{at}/WEB") == {"name": "Web", "cidr": "192.0.2.1", "ipversion": 4}
    digest = owner.get(at)[0]["digest"]
    owner.do("POST", f"{level}/rules", type="in", action="DROP", source="WEB")
    owner.do("PUT", f"{at}/web", cidr="::1", rename="six", digest=digest)
    assert errors(owner, "DELETE", f"{at}/six", digest=digest) == STALE
    assert owner.get(f"{at}/six")["ipversion"] == 6


def test_a_digest_is_that_of_what_is_shown(owner: Api) -> None:
    at = "/nodes/n1/qemu/100/firewall"
    owner.do("POST", f"{at}/rules", type="in", action="ACCEPT")
    seen = owner.get(f"{at}/rules/0")["digest"]
    owner.do("PUT", f"{at}/options", enable=1)
    owner.do("POST", f"{at}/aliases", name="web", cidr="192.0.2.1")
    owner.do("PUT", f"{at}/rules/0", comment="x", digest=seen)
    assert errors(owner, "DELETE", f"{at}/rules/0", digest=seen) == STALE


def test_properties_taken_from_a_rule(owner: Api) -> None:
    at = "/nodes/n1/firewall/rules"
    owner.do("POST", at, type="in", action="ACCEPT", proto="tcp", dport="22", comment="c", iface="vmbr0")
    assert errors(owner, "PUT", f"{at}/0", delete="bogus") == {"delete": "no such property ('bogus')"}
    assert errors(owner, "PUT", f"{at}/0", delete="type") == {"delete": "unable to delete required property 'type'"}
    assert errors(owner, "PUT", f"{at}/0", delete="proto")["proto"].startswith("missing property - 'dport'")
    owner.do("PUT", f"{at}/0", delete="dport,proto", comment="")
    row = owner.get(at)[0]
    assert {k: v for k, v in row.items() if k != "digest"} == {
        "pos": 0,
        "type": "in",
        "action": "ACCEPT",
        "iface": "vmbr0",
        "enable": 0,
    }


@pytest.mark.parametrize(
    ("params", "name", "text"),
    [
        ({"dport": "30:20"}, "dport", "backwards range '30:20' not allowed, did you mean '20:30'?\n"),
        ({"dport": "bogus"}, "dport", "invalid port 'bogus'\n"),
        ({"icmp-type": "bogus"}, "icmp-type", "invalid icmp-type value 'bogus'\n"),
        (
            {"source": "192.0.2.1,::1"},
            "source",
            "detected mixed ipv4/ipv6 addresses in address list '192.0.2.1,::1'\n",
        ),
    ],
)
def test_values_that_no_rule_takes(root: Api, params: dict[str, Any], name: str, text: str) -> None:
    found = errors(root, "POST", "/cluster/firewall/rules", type="in", action="DROP", proto="tcp", **params)
    assert found == {name: f"invalid format - {text}"}
