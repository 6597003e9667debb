"""Security groups: administrators write them, tenants see and use those that are published to them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.guests.test_change import KINDS, PVE_KIND, make
from tests.house import Caller, House

AT = "/proxmox/security-groups"
RULES = [
    {"type": "in", "action": "ACCEPT", "macro": "https", "comment": "web"},
    {"type": "in", "action": "DROP", "proto": "tcp", "dport": "22", "source": "192.0.2.0/24"},
    {"type": "out", "action": "REJECT", "log": "info", "enable": False},
]


@pytest.fixture(scope="module")
def admin(house: House) -> Caller:
    return house.admin()


def name() -> str:
    return f"g-{uuid.uuid4().hex[:10]}"


def group(admin: Caller, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = admin.done("POST", AT, {"name": name(), **more})["result"]["security_group"]
    return made


def in_pve(house: House, of: str) -> list[tuple[str, Any]]:
    return [
        (row["action"], row.get("macro", row.get("dport"))) for row in house.pve.get(f"/cluster/firewall/groups/{of}")
    ]


def test_a_group_is_made_changed_and_removed_with_its_rules(house: House, admin: Caller) -> None:
    mark = house.pve.mark()
    made = group(admin, comment="for the web", rules=RULES, published=True)
    assert (made["comment"], made["published"], made["tenants"], made["state"]) == ("for the web", True, [], "ready")
    assert [rule["macro"] for rule in made["rules"]] == ["HTTPS", None, None]
    assert in_pve(house, made["name"]) == [("ACCEPT", "HTTPS"), ("DROP", "22"), ("REJECT", None)]
    taken = admin.post(AT, {"name": made["name"]})
    assert (taken.status_code, taken.get_json()["code"]) == (409, "name.taken")
    shown = admin.get(f"{AT}/{made['name']}").get_json()
    assert shown == admin.get(f"{AT}/{made['id']}").get_json()
    assert [rule["enable"] for rule in shown["rules"]] == [True, True, False]
    at = f"{AT}/{made['id']}"
    admin.done("PUT", at, {"rules": [RULES[1], {"type": "in", "action": "ACCEPT", "macro": "SSH"}, RULES[2]]})
    assert in_pve(house, made["name"]) == [("DROP", "22"), ("ACCEPT", "SSH"), ("REJECT", None)]
    writes = house.pve.mark()
    admin.done("PUT", at, {"comment": "", "published": False})
    assert house.pve.writes(writes) == []
    after = admin.get(at).get_json()
    assert (after["comment"], after["published"], len(after["rules"])) == ("", False, 3)
    assert {call["user"] for call in house.pve.writes(mark)} == {"root@pam!poolhouse"}
    admin.done("DELETE", at)
    assert admin.get(at).status_code == 404
    assert made["name"] not in [row["group"] for row in house.pve.get("/cluster/firewall/groups")]


def test_what_cannot_be_finished_is_taken_back(house: House, admin: Caller) -> None:
    made = group(admin, rules=RULES)
    before, at = in_pve(house, made["name"]), f"{AT}/{made['id']}"
    with house.pve.fault(method="POST", path=f"/groups/{made['name']}", kind="refuse", status=500, text="no", count=1):
        refused = admin.send("PUT", at, {"rules": [RULES[2], RULES[0]]}, wait=60)
    assert refused.status_code == 502
    assert in_pve(house, made["name"]) == before
    assert admin.get(at).get_json()["rules"] == made["rules"]
    theirs = name()
    house.pve.post("/cluster/firewall/groups", group=theirs, comment="not ours")
    house.pve.post(f"/cluster/firewall/groups/{theirs}", type="in", action="DROP")
    taken = admin.post(AT, {"name": theirs, "rules": RULES}, wait=60)
    assert (taken.status_code, taken.get_json()["code"]) == (409, "security_group.taken")
    assert in_pve(house, theirs) == [("DROP", None)]
    assert admin.get(f"{AT}/{theirs}").status_code == 404


def test_tenants_see_and_use_what_is_published_to_them(house: House, admin: Caller) -> None:
    """L4, L14, L17: PVE would let anybody name any group."""
    mine, theirs = house.make_tenant(), house.make_tenant()
    member = house.make_member(mine)
    for_all = group(admin, rules=RULES, published=True)
    for_me = group(admin, tenants=[mine["name"], theirs["id"]])
    for_them, for_nobody = group(admin, tenants=[theirs["id"]]), group(admin, rules=RULES)
    shown = {one["name"]: one["tenants"] for one in member.get(f"{AT}?limit=1000").get_json()["data"]}
    assert {for_all["name"], for_me["name"]} <= set(shown)
    assert shown.keys().isdisjoint({for_them["name"], for_nobody["name"]})
    assert shown[for_me["name"]] == [mine["id"]], "others' names are nobody's business"
    mark = house.pve.mark()
    assert member.get(f"{AT}/{for_me['id']}").status_code == 200
    hidden = [member.get(f"{AT}/{one}") for one in (for_them["id"], for_nobody["name"], "no-such-group")]
    assert {(answer.status_code, answer.get_json()["code"]) for answer in hidden} == {(404, "not_found")}
    assert house.pve.calls(mark) == [call for call in house.pve.calls(mark) if call["user"].startswith("root@pam!")]
    for kind in KINDS:
        guest = make(member, kind)
        at = f"/proxmox/{kind}/{guest['id']}/firewall/rules"
        pve = f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/firewall/rules"
        rule = member.done("POST", at, {"group": for_me["name"], "iface": "net0", "comment": "ours"})["result"]["rule"]
        assert (rule["type"], rule["group"], rule["action"]) == ("group", for_me["name"], None)
        (row,) = house.pve.get(pve)
        assert (row["type"], row["action"], row["iface"], row["enable"]) == ("group", for_me["name"], "net0", 1)
        for foreign in (for_them["name"], for_nobody["name"], "no-such-group", for_me["id"]):
            for method, where in (("POST", at), ("PUT", f"{at}/0")):
                answer = member.send(method, where, {"type": "group", "group": foreign})
                assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["group"])
        for beside in ({"action": "DROP"}, {"macro": "SSH"}, {"source": "192.0.2.1"}):
            answer = member.post(at, {"group": for_all["name"], **beside})
            assert (answer.status_code, list(answer.get_json()["errors"])) == (422, list(beside))
        member.done("PUT", f"{at}/0", {"group": for_all["name"]})
        assert [row["action"] for row in house.pve.get(pve)] == [for_all["name"]]
    admin.done("PUT", f"{AT}/{for_me['id']}", {"tenants": []})
    assert member.get(f"{AT}/{for_me['id']}").status_code == 404
    admin.done("DELETE", f"{AT}/{for_all['id']}")
    (left,) = member.get(at).get_json()["data"]
    assert left["group"] == for_all["name"], "PVE asks nobody who names it, and leaves his rule"
    member.done("DELETE", f"{at}/0")


def test_what_is_wrong_is_422_by_name(admin: Caller) -> None:
    made = group(admin)
    for field, value in (
        ("name", "a"), ("name", "1st"), ("name", "x" * 19), ("name", None), ("comment", "a\nb"), ("published", 1),
        ("tenants", ["no-such-tenant"]), ("tenants", "all"), ("cluster", "no-such-cluster"), ("rules", {}),
        ("rules", [{"type": "group", "action": "ACCEPT"}]), ("rules", [{"type": "in"}]),
        ("rules", [{"type": "in", "action": "ACCEPT", "source": "+dc/web"}]),
        ("rules", [{"type": "in", "action": "ACCEPT", "iface": "net0"}]),
        ("rules", [{"type": "in", "action": "ACCEPT", "group": made["name"]}]),
        ("rules", [{"type": "in", "action": "ACCEPT", "macro": "nothing"}]),
        ("rules", [{"type": "in", "action": "ACCEPT"}] * 101),
    ):  # fmt: skip
        answer = admin.post(AT, {"name": name(), field: value})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field]), (field, value)
        if field not in ("name", "cluster"):
            assert admin.put(f"{AT}/{made['id']}", {field: value}).status_code == 422
    assert admin.put(f"{AT}/{made['id']}", {}).status_code == 422
    wrong = admin.post(AT, {"name": name(), "rules": [RULES[0], {"type": "in", "action": "DROP", "dport": "80"}]})
    assert list(wrong.get_json()["errors"]["rules"]) == ["1"]
