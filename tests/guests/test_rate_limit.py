"""The rate of a network card, in megabytes a second as PVE means it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guests.test_change import KINDS, PVE_KIND, behind_our_back, config, make
from tests.house import Caller, House


@pytest.fixture(scope="module")
def member(house: House) -> Caller:
    return house.make_member(house.make_tenant())


def card(house: House, kind: str, guest: dict[str, Any], name: str = "net0") -> set[str]:
    return set(config(house, kind, guest)[name].split(","))


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_s_rate_is_set_changed_and_taken_away_and_all_else_stays(
    house: House, member: Caller, kind: str
) -> None:
    """L45. PVE limits a running guest at once, too."""
    guest = make(member, kind, start=True)
    path, before = f"/proxmox/{kind}/{guest['id']}/network/rate-limit", card(house, kind, guest)
    for body, rate in (
        ({"rate_mbps": 12.5}, {"rate=12.5"}),
        ({"rate_mbps": 10_239.125, "interface": "net0"}, {"rate=10239.125"}),
        ({"rate_mbps": 20}, {"rate=20"}),
        ({"rate_mbps": 0}, set()),
    ):
        result = member.done("PUT", path, body)["result"]
        assert (result["pending"], result["guest"]["id"]) == ([], guest["id"])
        assert card(house, kind, guest) == before | rate
    for wrong, field in (
        ({}, "rate_mbps"), ({"rate_mbps": -1}, "rate_mbps"), ({"rate_mbps": "5"}, "rate_mbps"),
        ({"rate_mbps": None}, "rate_mbps"), ({"rate_mbps": 10_241}, "rate_mbps"), ({"rate_mbps": 0.0001}, "rate_mbps"),
        ({"rate_mbps": 5, "interface": "eth0"}, "interface"), ({"rate_mbps": 5, "interface": "net0,x"}, "interface"),
        ({"rate_mbps": 5, "rate": 5}, "rate"),
    ):  # fmt: skip
        answer = member.put(path, wrong)
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field]), wrong
    absent = member.send("PUT", path, {"rate_mbps": 5, "interface": "net7"}, wait=60)
    assert (absent.status_code, list(absent.get_json()["errors"])) == (422, ["interface"])
    assert "net7" not in config(house, kind, guest)
    stale = member.put(path, {"rate_mbps": 5}, If_Match='"no-such-digest"')
    assert (stale.status_code, stale.get_json()["code"]) == (412, "pve.config_changed")
    assert card(house, kind, guest) == before
    second = {"cts": "name=eth1,bridge=vmbr0", "vms": "virtio,bridge=vmbr0"}[kind]
    behind_our_back(house, kind, guest, net1=second)
    cards = {name: card(house, kind, guest, name) for name in ("net0", "net1")}
    member.done("PUT", path, {"rate_mbps": 3, "interface": "net1"})
    assert card(house, kind, guest) == cards["net0"]
    assert card(house, kind, guest, "net1") == cards["net1"] | {"rate=3"}
    pve = f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}"
    with house.pve.fault(method="GET", path=f"{pve}/pending", kind="refuse", status=500, text="no"):
        refused = member.send("PUT", path, {"rate_mbps": 7, "interface": "net1"}, wait=60)
    assert refused.status_code == 502
    assert card(house, kind, guest, "net1") == cards["net1"] | {"rate=3"}
