"""Guests out of the catalog: of the size that was asked for, and with a way in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import Caller, House, container, wait_for

ISO = "local:iso/debian-12.12.0-amd64-netinst.iso"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvciB0ZXN0cyBvbmx5LCBub2JvZHkgaGFzIGl0ISE= maria"


@pytest.fixture(scope="module")
def member(house: House) -> Caller:
    return house.make_member(house.make_tenant(storages=["local-lvm", "local"], bridges=["vmbr0"]))


@pytest.fixture(scope="module")
def flavor(house: House) -> Iterator[dict[str, Any]]:
    admin = house.admin()
    name = f"small-{uuid.uuid4().hex[:6]}"
    made = admin.post("/flavors", {"name": name, "cores": 2, "memory": 256, "disk_gb": 1})
    assert made.status_code == 201, made.get_data(as_text=True)
    yield made.get_json()
    assert admin.delete(f"/flavors/{name}").status_code == 204


def deployed(house: House, member: Caller, template: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer, and what PVE has of the guest."""
    body = {"template_id": template, "name": f"d-{uuid.uuid4().hex[:8]}", **more}
    answer = member.post("/deployments", body, wait=60)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    guest = found["result"]["guest"]
    kind = "lxc" if guest["kind"] == "ct" else "qemu"
    return found, house.pve.get(f"/nodes/{guest['node']}/{kind}/{guest['vmid']}/config")


@pytest.mark.parametrize("template", ["debian-12", "debian-12-vm"])
def test_a_guest_of_either_kind_has_the_size_of_its_flavor_runs_and_lets_its_owner_in(
    house: House, member: Caller, flavor: dict[str, Any], template: str
) -> None:
    found, config = deployed(house, member, template, flavor=flavor["name"])
    guest = found["result"]["guest"]
    least = {"debian-12": 1, "debian-12-vm": 2}[template]
    assert (guest["cores"], guest["memory"], guest["disk_gb"], guest["state"]) == (2, 256, least, "running")
    assert int(config["memory"]) == 256
    assert len(found["password"]) >= 16
    assert "password" not in member.get(f"/operations/{found['id']}").get_json()
    assert found["password"] not in str(house.pve.get("/cluster/resources")) + str(config)


def test_what_is_asked_for_goes_before_the_flavor(house: House, member: Caller, flavor: dict[str, Any]) -> None:
    found, config = deployed(
        house, member, "debian-12", flavor=flavor["id"], memory=64, disk_gb=3, ssh_keys=[KEY], start=False
    )
    guest = found["result"]["guest"]
    assert (guest["cores"], guest["memory"], guest["disk_gb"], guest["state"]) == (2, 64, 3, "stopped")
    assert "size=3G" in config["rootfs"]
    assert "password" not in found


def test_a_repeated_request_makes_one_guest_and_tells_no_password_again(member: Caller) -> None:
    body = {"template_id": "debian-12", "name": "once", "memory": 64, "start": False}
    key = {"Idempotency_Key": uuid.uuid4().hex}
    first, second = (member.post("/deployments", body, wait=60, **key).get_json() for _ in range(2))
    assert first["result"]["guest"]["id"] == second["result"]["guest"]["id"]
    assert "password" in first
    assert "password" not in second


@pytest.fixture
def golden(house: House) -> Iterator[dict[str, Any]]:
    """A catalog entry that is a container of its own."""
    card = {"net0": "name=eth0,bridge=vmbr0,tag=7", "tags": "old", "description": "golden"}
    name = f"golden-{uuid.uuid4().hex[:6]}"
    admin, member = house.admin(), house.make_member(house.make_tenant())
    archive = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"
    house.pve.post(
        "/nodes/n1/lxc", vmid=9103, ostemplate=archive, rootfs="local-lvm:2", hostname=name, memory=64, **card
    )
    wait_for(lambda: 9103 in {one["vmid"] for one in house.pve.guests() if one["status"] == "stopped"})
    house.pve.post("/nodes/n1/lxc/9103/template")
    entry = admin.post("/templates", {"source": "9103", "name": name, "published": True}).get_json()
    too_small = container(template=name, disk_gb=1)
    wait_for(lambda: "disk_gb" in member.post("/proxmox/cts", too_small).get_json().get("errors", {}), every=0.3)
    yield entry
    assert admin.delete(f"/templates/{entry['id']}").status_code == 204
    house.pve.delete("/nodes/n1/lxc/9103")


def test_a_container_that_is_a_template_is_cloned_and_becomes_what_was_asked_for(
    house: House, member: Caller, golden: dict[str, Any]
) -> None:
    assert (golden["kind"], golden["memory"], golden["disk_gb"]) == ("ct", 64, 2)
    mark = house.pve.mark()
    for given in ({"password": "a long password"}, {"ssh_keys": [KEY]}, {"login": "maria"}, {"disk_gb": 1}):
        answer = member.post("/deployments", {"template_id": golden["id"], "name": "web", **given})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, list(given)), answer.get_json()
    assert house.pve.writes(mark) == []
    asked = {"memory": 96, "cores": 2, "disk_gb": 3, "tags": ["web"], "net": {"bridge": "vmbr0", "ip": "10.9.8.7/24"}}
    found, config = deployed(house, member, golden["name"], **asked)
    guest = found["result"]["guest"]
    assert "password" not in found
    assert (guest["kind"], guest["state"], guest["unprivileged"]) == ("ct", "running", True)
    assert (guest["memory"], guest["cores"], guest["disk_gb"], guest["made_from"]) == (96, 2, 3, golden["name"])
    assert (config["memory"], config["cores"], config["tags"], config["hostname"]) == (96, 2, "web", guest["name"])
    assert config["rootfs"].startswith(f"local-lvm:vm-{guest['vmid']}-disk-0,size=3G")
    assert "ip=10.9.8.7/24" in config["net0"]
    assert "tag=7" not in config["net0"], "the template's own card"
    assert config["description"].strip() == f"poolhouse-guest: {guest['id']}"
    base = f"/proxmox/cts/{guest['id']}"
    member.done("POST", f"{base}/stop", {"force": True})
    refused = member.post(f"{base}/rebuild", {"template": golden["id"], "password": "a long password"})
    assert list(refused.get_json()["errors"]) == ["password"]
    again = member.done("POST", f"{base}/rebuild", {"template": golden["id"]})["result"]["guest"]
    assert (again["vmid"], again["memory"], again["disk_gb"], again["tags"]) == (guest["vmid"], 96, 3, ["web"])
    rebuilt = house.pve.get(f"/nodes/n1/lxc/{guest['vmid']}/config")
    assert (rebuilt["net0"], "size=3G" in rebuilt["rootfs"]) == (config["net0"], True)
    nested = container(template=golden["id"], nesting=True, disk_gb=2)
    made = member.done("POST", "/proxmox/cts", nested)["result"]["guest"]
    assert house.pve.get(f"/nodes/n1/lxc/{made['vmid']}/config")["features"] == "nesting=1"
    for one in (guest, made):
        member.done("DELETE", f"/proxmox/cts/{one['id']}")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"template_id": str(uuid.UUID(int=7))}, "template_id"),
        ({"template_id": "debian-12-vm", "disk_gb": 1}, "disk_gb"),
        ({"flavor": "enormous"}, "flavor"),
        ({"login": "maria"}, "login"),
        ({"memory": 0}, "memory"),
        ({"name": "-a-"}, "name"),
        ({"storage": "nowhere"}, "storage"),
    ],
)
def test_what_is_not_deployed(house: House, member: Caller, given: dict[str, Any], field: str) -> None:
    mark = house.pve.mark()
    answer = member.post("/deployments", {"template_id": "debian-12", "name": "web", **given})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert house.pve.writes(mark) == []


def test_l47_a_template_that_was_withdrawn_is_not_deployed_not_even_by_administrators(house: House) -> None:
    admin = house.admin()
    entry = admin.post("/templates", {"source": ISO, "name": "installer"}).get_json()
    tenant = house.make_tenant()
    try:
        body = {"template_id": entry["id"], "name": "web", "tenant": tenant["id"]}
        assert list(admin.post("/deployments", body).get_json()["errors"]) == ["template_id"]
        assert admin.post(f"/templates/{entry['id']}/toggle").get_json()["published"]
        with_key = admin.post("/deployments", {**body, "ssh_keys": [KEY]})
        assert list(with_key.get_json()["errors"]) == ["template_id"], "an installer takes no keys"
    finally:
        assert admin.delete(f"/templates/{entry['id']}").status_code == 204


def test_flavors_are_written_by_administrators_and_read_by_all(
    house: House, member: Caller, flavor: dict[str, Any]
) -> None:
    admin, path = house.admin(), f"/flavors/{flavor['id']}"
    assert flavor in member.get("/flavors").get_json()["data"]
    size = {"cores": 1, "memory": 64, "disk_gb": 1}
    refused = [member.post("/flavors", {"name": "mine", **size}), member.put(path, {"cores": 9}), member.delete(path)]
    assert [answer.status_code for answer in refused] == [403] * 3
    taken = admin.post("/flavors", {"name": flavor["name"], **size})
    assert (taken.status_code, taken.get_json()["code"]) == (409, "name.taken")
    assert list(admin.post("/flavors", {"name": "a b", **size}).get_json()["errors"]) == ["name"]
    assert admin.put(path, {"memory": 512}).get_json()["memory"] == 512
    assert admin.put(path, {"memory": 256}).get_json() == flavor
