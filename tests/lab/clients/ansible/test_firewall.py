"""The firewall of every level by `community.proxmox`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.clients.ansible.playing import Player
from tests.lab.process import LabProcess, Session, running

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def lab_process() -> Iterator[LabProcess]:
    with running(guests=2) as lab:
        yield lab


def test_the_firewall_is_set_up_once(player: Player, root: Session) -> None:
    (play,) = player.play("firewall")
    again = [name for name in play if name.endswith(" again")]
    assert play.unchanged == sorted([*again, "all", "of a guest"], key=list(play).index)
    assert not any("warnings" in outcome.result for outcome in play.values())
    cluster = play.of("all")
    assert cluster["groups"] == ["web"]
    assert {row["name"]: row["cidr"] for row in cluster["aliases"]} == {
        "office": "192.0.2.0/25",
        "home": "198.51.100.7",
    }
    assert [(row["type"], row["pos"], row["enable"]) for row in cluster["firewall_rules"]] == [
        ("in", 0, 1),
        ("out", 1, 1),
    ]
    (hosts,) = cluster["ip_sets"]
    assert {row["cidr"]: row["nomatch"] for row in hosts["cidrs"]} == {"192.0.2.10": False, "192.0.2.11": True}
    assert [row["action"] for row in play.of("of a guest")["firewall_rules"]] == ["web", "ACCEPT"]
    (left,) = root.ok("GET", "/nodes/n1/qemu/1000/firewall/rules")
    assert (left["comment"], left["enable"]) == ("Now", 1)
    assert [row["name"] for row in root.ok("GET", "/cluster/firewall/aliases")] == ["office"]
    assert root.ok("GET", "/cluster/firewall/ipset") == []
    (rule,) = root.ok("GET", "/nodes/n1/firewall/rules")
    assert rule["icmp-type"] == "echo-request"
