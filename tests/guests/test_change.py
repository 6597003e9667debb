"""Guests of both kinds are changed: what is asked reaches PVE, what grows is charged before, what shrinks after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import Caller, House, container, vm, wait_for

KINDS = ("cts", "vms")
BODIES = {"cts": container, "vms": vm}
PVE_KIND = {"cts": "lxc", "vms": "qemu"}
NAME = {"cts": "hostname", "vms": "name"}
DISK = {"cts": "rootfs", "vms": "scsi0"}


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant()


@pytest.fixture(scope="module")
def member(house: House, tenant: dict[str, Any]) -> Caller:
    return house.make_member(tenant)


def make(caller: Caller, kind: str, **more: Any) -> dict[str, Any]:
    guest: dict[str, Any] = caller.done("POST", f"/proxmox/{kind}", BODIES[kind](**more))["result"]["guest"]
    return guest


def config(house: House, kind: str, guest: dict[str, Any], query: str = "") -> dict[str, Any]:
    """The guest's config as the lab's administrator sees it."""
    found: dict[str, Any] = house.pve.get(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/config{query}")
    return found


def behind_our_back(house: House, kind: str, guest: dict[str, Any], **options: Any) -> None:
    house.pve.put(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/config", **options)


def allocated(caller: Caller, tenant: dict[str, Any]) -> dict[str, Any]:
    usage = caller.get(f"/tenants/{tenant['id']}/usage").get_json()
    return {**usage["allocated"], **{f"running_{name}": amount for name, amount in usage["running"].items()}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_is_asked_reaches_pve_and_the_rest_stays(house: House, member: Caller, kind: str, method: str) -> None:
    """L45, L27."""
    guest = make(member, kind, net={"bridge": "vmbr0", "vlan": 7, "rate": 3})
    before = config(house, kind, guest)
    body = {
        "memory": 192, "cores": 2, "name": f"renamed-{guest['vmid']}", "net": {"vlan": 12, "rate": 0},
        "tags": ["web", "blue"], "description": "two lines\nof text, & a <sign>", "onboot": True, "disk_increment_gb": 2,
    } | ({"swap": 96} if kind == "cts" else {})  # fmt: skip
    operation = member.done(method, f"/proxmox/{kind}/{guest['id']}", body)
    assert operation["type"] == f"{kind[:-1]}.change"
    assert operation["result"]["pending"] == []
    told = operation["result"]["guest"]
    assert told | {"observed_at": ""} == member.get(f"/proxmox/{kind}/{guest['id']}").get_json() | {"observed_at": ""}
    shown = {name: told[name] for name in ("name", "cores", "memory", "disk_gb", "tags")}
    assert shown == {"name": body["name"], "cores": 2, "memory": 192, "disk_gb": 3, "tags": ["web", "blue"]}
    after = config(house, kind, guest)
    assert (int(after["memory"]), after["cores"], after["onboot"]) == (192, 2, 1)
    assert after[NAME[kind]] == body["name"]
    assert sorted(after["tags"].split(";")) == ["blue", "web"]
    assert after["description"].strip() == f"poolhouse-guest: {guest['id']}\n{body['description']}"
    assert "size=3G" in after[DISK[kind]]
    assert after.get("swap") == (96 if kind == "cts" else None)
    card = set(before["net0"].split(",")) - {"tag=7", "rate=3"} | {"tag=12"}
    assert set(after["net0"].split(",")) == card, "bridge, MAC and all else of the card stay"
    changed = {*body, DISK[kind], NAME[kind], "net0", "digest"}
    rest = {key: value for key, value in before.items() if key not in changed}
    assert {key: value for key, value in after.items() if key not in changed} == rest
