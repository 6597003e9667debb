"""The firewall in front of guests of both kinds: what is on is on at every card, and rules are changed by position."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guests.test_change import KINDS, PVE_KIND, behind_our_back, config, make
from tests.house import Caller, House

SECOND_CARD = {"cts": "name=eth1,bridge=vmbr0,firewall=0", "vms": "virtio,bridge=vmbr0"}


@pytest.fixture(scope="module")
def member(house: House) -> Caller:
    return house.make_member(house.make_tenant())


@pytest.fixture(scope="module")
def guests(member: Caller) -> dict[str, dict[str, Any]]:
    return {kind: make(member, kind, start=True) for kind in KINDS}


def path(kind: str, guest: dict[str, Any]) -> str:
    return f"/proxmox/{kind}/{guest['id']}/firewall"


def in_pve(house: House, kind: str, guest: dict[str, Any], what: str) -> Any:
    return house.pve.get(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/firewall/{what}")


def cards(house: House, kind: str, guest: dict[str, Any]) -> dict[str, set[str]]:
    found = config(house, kind, guest)
    return {name: set(found[name].split(",")) for name in ("net0", "net1")}


def comments(house: House, kind: str, guest: dict[str, Any]) -> list[str]:
    """The rules in PVE by their comments, in their order."""
    return [row.get("comment", "") for row in in_pve(house, kind, guest, "rules")]


@pytest.mark.parametrize("kind", KINDS)
def test_l53_on_means_on_at_each_card_and_is_read_back_or_taken_back(house: House, member: Caller, kind: str) -> None:
    guest = make(member, kind, start=True)
    behind_our_back(house, kind, guest, net1=SECOND_CARD[kind])
    before = cards(house, kind, guest)
    at = path(kind, guest)
    off = member.get(f"{at}/options").get_json()
    assert (off["enable"], off["policy_in"]) == (None, None)
    with house.pve.fault(method="GET", path=f"/{guest['vmid']}/pending", kind="refuse", status=500, text="no"):
        refused = member.post(f"{at}/enable", wait=60)
    assert refused.status_code == 502, refused.get_data(as_text=True)
    assert cards(house, kind, guest) == before
    assert "enable" not in in_pve(house, kind, guest, "options")
    operation = member.done("POST", f"{at}/enable")
    assert (operation["type"], operation["result"]["pending"]) == (f"{kind[:-1]}.firewall", [])
    assert operation["result"]["firewall"]["enable"] is True
    assert in_pve(house, kind, guest, "options")["enable"] == 1
    assert "firewall=1" in before["net0"]
    assert cards(house, kind, guest) == {**before, "net1": before["net1"] - {"firewall=0"} | {"firewall=1"}}
    mark = house.pve.mark()
    member.done("POST", f"{at}/enable")
    assert house.pve.writes(mark) == [], "it is so already (L106)"


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_changed_and_go_back_to_their_defaults(
    house: House, member: Caller, guests: dict[str, dict[str, Any]], kind: str
) -> None:
    guest = guests[kind]
    at = f"{path(kind, guest)}/options"
    shown = member.get(at)
    assert shown.get_json()["digest"] == shown.headers["ETag"].strip('"')
    given = {
        "policy_in": "REJECT", "policy_out": "ACCEPT", "dhcp": True, "ndp": False, "radv": True, "macfilter": False,
        "ipfilter": True, "log_level_in": "info", "log_level_out": "nolog",
    }  # fmt: skip
    told = member.done("PUT", at, given, If_Match=shown.headers["ETag"])["result"]["firewall"]
    assert {name: told[name] for name in given} == given
    kept = in_pve(house, kind, guest, "options")
    assert {name: kept[name] for name in given} == {name: int(v) if type(v) is bool else v for name, v in given.items()}
    stale = member.put(at, {"dhcp": False}, If_Match=shown.headers["ETag"])
    assert (stale.status_code, stale.get_json()["code"]) == (412, "pve.config_changed")
    member.done("PUT", at, {"policy_in": None, "log_level_in": None, "dhcp": False})
    now = member.get(at).get_json()
    assert [now[name] for name in ("policy_in", "log_level_in", "dhcp", "ndp")] == [None, None, False, False]
    for field, value in (
        ("enable", 1), ("enable", "true"), ("policy_in", "accept"), ("policy_out", ""), ("dhcp", "on"),
        ("log_level_in", "loud"), ("log_ratelimit", "1/second"), ("digest", "x"), ("delete", "enable"),
    ):  # fmt: skip
        answer = member.put(at, {"ndp": True, field: value})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field]), field
    assert member.put(at, {}).status_code == 422
    assert member.get(at).get_json() == now


@pytest.mark.parametrize("kind", KINDS)
def test_rules_come_go_change_and_move_by_position(
    house: House, member: Caller, guests: dict[str, dict[str, Any]], kind: str
) -> None:
    """L45, L5: where the last one is, and nowhere else."""
    guest = guests[kind]
    at = f"{path(kind, guest)}/rules"
    assert member.get(at).get_json() == {"data": [], "count": 0, "next": None}
    web = {
        "type": "in", "action": "ACCEPT", "proto": "tcp", "dport": "80,443,8000:8080", "sport": "1024:65535",
        "source": "192.0.2.0/24,198.51.100.1-198.51.100.9", "dest": "203.0.113.7", "iface": "net0", "log": "info",
        "comment": " the web, für alle ",
    }  # fmt: skip
    made = member.done("POST", at, web, If_Match=member.get(at).headers["ETag"])["result"]
    assert made["guest"]["id"] == guest["id"]
    kept = {**web, "comment": "the web, für alle"}
    nothing = {"group": None, "macro": None, "icmp_type": None}
    (shown,) = member.get(at).get_json()["data"]
    assert {name: value for name, value in shown.items() if name != "digest"} == {
        **kept, **nothing, "enable": True, "pos": 0,
    } == made["rule"]  # fmt: skip
    (row,) = in_pve(house, kind, guest, "rules")
    assert {**kept, "enable": 1, "pos": 0, "digest": row["digest"]} == {
        n: v for n, v in row.items() if n != "ipversion"
    }
    member.done("PUT", f"{at}/0", {"comment": "web"})
    macro = member.done("POST", at, {"type": "out", "action": "DROP", "macro": "ssh", "comment": "ssh", "pos": 1})
    assert (macro["result"]["rule"]["macro"], macro["result"]["rule"]["pos"]) == ("SSH", 1)
    ping = {"type": "in", "action": "REJECT", "proto": "icmp", "icmp_type": "echo-request", "enable": False}
    member.done("POST", at, {**ping, "comment": "ping"})
    assert comments(house, kind, guest) == ["ping", "web", "ssh"]
    for place, to, order in (
        (0, 2, ["web", "ssh", "ping"]), (2, 1, ["web", "ping", "ssh"]), (1, 1, ["web", "ping", "ssh"]),
        (0, 1, ["ping", "web", "ssh"]), (2, 0, ["ssh", "ping", "web"]),
    ):  # fmt: skip
        member.done("PUT", f"{at}/{place}", {"pos": to})
        assert comments(house, kind, guest) == order
    changed = {"action": "ACCEPT", "macro": None, "proto": "udp", "dport": "53", "pos": 1, "comment": "dns"}
    member.done("PUT", f"{at}/0", changed)
    assert comments(house, kind, guest) == ["ping", "dns", "web"]
    rules = member.get(at).get_json()["data"]
    assert (rules[1]["proto"], rules[1]["macro"], rules[1]["type"]) == ("udp", None, "out")
    assert rules[0]["enable"] is False
    page = member.get(f"{at}?limit=1&cursor=1").get_json()
    assert (page["data"], page["count"], page["next"]) == (rules[1:2], 3, "2")
    member.done("DELETE", f"{at}/1")
    assert comments(house, kind, guest) == ["ping", "web"]
    for method, body in (("PUT", {"comment": "x"}), ("DELETE", None)):
        answer = member.send(method, f"{at}/2", body)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    mark = house.pve.mark()
    member.done("PUT", f"{at}/0", {"enable": False})
    assert house.pve.writes(mark) == [], "it is so already (L106)"


@pytest.mark.parametrize("kind", KINDS)
def test_l79_what_somebody_changed_meanwhile_is_412(
    house: House, member: Caller, guests: dict[str, dict[str, Any]], kind: str
) -> None:
    guest = guests[kind]
    at = f"{path(kind, guest)}/rules"
    earlier = comments(house, kind, guest)
    old = member.get(at).headers["ETag"]
    member.done("POST", at, {"type": "in", "action": "ACCEPT", "comment": "first"}, If_Match=old)
    seen = member.get(at).headers["ETag"]
    assert seen != old
    pve = f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/firewall/rules"
    house.pve.post(pve, type="in", action="DROP", comment="theirs")
    for method, tail, body in (
        ("POST", "", {"type": "in", "action": "DROP"}),
        ("PUT", "/0", {"enable": False}),
        ("DELETE", "/0", None),
    ):
        for etag in (seen, old, '"nonsense"'):
            answer = member.send(method, f"{at}{tail}", body, If_Match=etag)
            assert (answer.status_code, answer.get_json()["code"]) == (412, "pve.config_changed"), (method, etag)
    assert comments(house, kind, guest) == ["theirs", "first", *earlier]


BAD = [
    ({"source": "+web"}, "source"), ({"source": "+dc/web"}, "source"), ({"source": "+guest/web"}, "source"),
    ({"source": "+sdn/vnet-all"}, "source"), ({"source": "dc/office"}, "source"), ({"dest": "office"}, "dest"),
    ({"dest": "192.0.2.300"}, "dest"), ({"dest": "192.0.2.9-192.0.2.1"}, "dest"), ({"dest": "192.0.2.1,"}, "dest"),
    ({"dest": "192.0.2.0/255.255.255.0"}, "dest"), ({"source": "192.0.2.1,2001:db8::1"}, "source"),
    ({"source": "192.0.2.1", "dest": "2001:db8::1"}, "dest"), ({"source": "fe80::1%eth0"}, "source"),
    ({"source": "192.0.2.1 "}, "source"), ({"source": ""}, "source"), ({"source": 5}, "source"),
    ({"proto": "tcp", "dport": "http"}, "dport"), ({"proto": "tcp", "dport": "90:80"}, "dport"),
    ({"proto": "tcp", "dport": "65536"}, "dport"), ({"proto": "tcp", "dport": "1:2:3"}, "dport"),
    ({"proto": "tcp", "dport": ",".join(map(str, range(1, 17)))}, "dport"), ({"dport": "80"}, "proto"),
    ({"proto": "icmp", "dport": "8"}, "proto"), ({"proto": "tcp", "icmp_type": "echo-request"}, "proto"),
    ({"proto": "icmp", "icmp_type": "neighbor-solicitation"}, "icmp_type"), ({"proto": "nonsense"}, "proto"),
    ({"proto": "icmpv6", "source": "192.0.2.1"}, "source"), ({"macro": "NoSuch"}, "macro"),
    ({"macro": "SSH", "dport": "22", "proto": "tcp"}, "dport"), ({"macro": "a b"}, "macro"),
    ({"iface": "vmbr0"}, "iface"), ({"iface": "eth0"}, "iface"), ({"iface": "net0,"}, "iface"),
    ({"type": "forward"}, "type"), ({"type": "group"}, "group"), ({"type": None}, "type"),
    ({"action": "accept"}, "action"),
    ({"action": "some-group"}, "action"), ({"action": None}, "action"), ({"log": "loud"}, "log"),
    ({"enable": 1}, "enable"), ({"enable": None}, "enable"), ({"pos": -1}, "pos"), ({"pos": 99}, "pos"),
    ({"comment": "a\nb"}, "comment"), ({"comment": "x" * 257}, "comment"), ({"moveto": 1}, "moveto"),
    ({"digest": "x"}, "digest"), ({"icmp-type": "any"}, "icmp-type"),
]  # fmt: skip


def test_what_is_wrong_in_a_rule_is_422_by_name_and_never_reaches_pve(
    house: House, member: Caller, guests: dict[str, dict[str, Any]]
) -> None:
    """L15, L104; names of IP sets and aliases are others' to fill: a rule has addresses."""
    for kind, method, place in (("cts", "POST", ""), ("vms", "PUT", "/0")):
        at = f"{path(kind, guests[kind])}/rules"
        member.done("POST", at, {"type": "in", "action": "ACCEPT", "comment": "stays"})
        before, mark = comments(house, kind, guests[kind]), house.pve.mark()
        for body, field in BAD:
            answer = member.send(method, f"{at}{place}", {"type": "in", "action": "ACCEPT", **body})
            assert answer.status_code == 422, (method, body, answer.get_data(as_text=True))
            assert field in answer.get_json()["errors"], (method, body, answer.get_json()["errors"])
        assert member.put(f"{at}/0", {}).status_code == 422
        assert house.pve.writes(mark) == []
        assert comments(house, kind, guests[kind]) == before


@pytest.mark.parametrize("kind", KINDS)
def test_reading_costs_one_call_with_the_tenants_own_token(
    house: House, member: Caller, guests: dict[str, dict[str, Any]], kind: str
) -> None:
    """L11, L70."""
    (tenant,) = member.get("/tenants").get_json()["data"]
    for what in ("options", "rules"):
        mark = house.pve.mark()
        assert member.get(f"{path(kind, guests[kind])}/{what}").status_code == 200
        calls = [call for call in house.pve.calls(mark) if "/firewall/" in call["path"]]
        assert [call["user"].partition("!")[0] for call in calls] == [tenant["pve_user"]]
        with house.pve.fault(method="GET", path=f"/firewall/{what}", kind="refuse", status=595, text="no route"):
            assert member.get(f"{path(kind, guests[kind])}/{what}").status_code == 503
