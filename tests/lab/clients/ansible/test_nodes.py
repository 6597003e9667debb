"""Nodes by `community.proxmox`, and its inventory of guests."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab.clients.ansible.playing import Player
from tests.lab.process import LabProcess, Session, running

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def lab_process() -> Iterator[LabProcess]:
    with running(guests=4) as lab:
        yield lab


def test_nodes_are_seen_and_set_up(player: Player, root: Session) -> None:
    (play,) = player.play("nodes")
    assert play.changed == ["name servers"]
    assert {node["node"]: node["status"] for node in play.of("seen")["proxmox_nodes"]} == {
        "n1": "online",
        "n2": "online",
    }
    dns = root.ok("GET", "/nodes/n1/dns")
    assert (dns["dns1"], dns["dns2"], dns["search"]) == ("192.0.2.1", "192.0.2.2", "example.com")
    assert play.of("zones")["zones"] == []


def test_guests_are_an_inventory(player: Player, root: Session) -> None:
    root.ok("POST", "/pools", poolid="shop")
    root.ok("PUT", "/pools/shop", vms="1000")
    root.ok("PUT", "/nodes/n1/qemu/1000/config", tags="web")
    source = player.folder / "lab.proxmox.yml"
    settings = {
        "plugin": "community.proxmox.proxmox",
        "url": player.lab.url,
        "user": "root@pam",
        "password": player.lab.password,
        "validate_certs": True,
        "want_facts": True,
        "keyed_groups": [{"key": "proxmox_tags_parsed", "prefix": "tag", "separator": "_"}],
    }
    source.write_text(json.dumps(settings))
    done = player.run("ansible-inventory", "--inventory", source, "--list")
    listed = json.loads(done.stdout)
    assert done.stderr == ""
    assert set(listed["_meta"]["hostvars"]) == {"vm-1000", "ct-1001", "vm-1002", "ct-1003"}
    assert listed["proxmox_nodes"]["hosts"] == ["n1", "n2"]
    assert listed["proxmox_pool_shop"]["hosts"] == ["vm-1000"]
    assert listed["tag_web"]["hosts"] == ["vm-1000"]
    assert listed["_meta"]["hostvars"]["vm-1000"]["proxmox_status"]["__ansible_unsafe"] == "running"
