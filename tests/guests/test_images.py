"""VMs out of disk images: what a tenant may use, as large as asked, and told who they are by cloud-init."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import Caller, House, vm, wait_for

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvciB0ZXN0cyBvbmx5LCBub2JvZHkgaGFzIGl0ISE= maria"
HASH = "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."
#: The beginning of a qcow2 image with a disk of 3 GiB: it says so in its header.
IMAGE = b"QFI\xfb\0\0\0\3" + bytes(16) + (3 << 30).to_bytes(8, "big") + bytes(2000)


@pytest.fixture(scope="module")
def image(house: House) -> Iterator[str]:
    """A volid, on a storage that has nothing else."""
    with house.another_storage("shelf", content="import") as storage:
        name = f"image-{uuid.uuid4().hex[:8]}.qcow2"
        path = f"/proxmox/storages/{storage}/upload?filename={name}&node=n1"
        made = house.admin().send("POST", path, IMAGE, wait=30).get_json()
        assert made["result"]["volume"]["content"] == "import", made
        yield made["result"]["volume"]["volid"]
        house.admin().done("DELETE", f"/proxmox/storages/{storage}/content/{made['result']['volume']['volid']}")


@pytest.fixture(scope="module")
def member(house: House, image: str) -> Caller:
    return house.make_member(house.make_tenant(storages=["local-lvm", "shelf"], bridges=["vmbr0"]))


def stored(house: House, guest: dict[str, Any]) -> dict[str, Any]:
    """What the lab has written down, the password too, which PVE shows to nobody."""
    found: dict[str, Any] = house.pve.state()["guests"][str(guest["vmid"])]["config"]
    return found


def test_a_vm_of_an_image_is_as_large_as_asked_and_has_all_that_cloud_init_was_given(
    house: House, member: Caller, image: str
) -> None:
    told = {
        "user": "maria", "password": HASH, "ssh_keys": [KEY], "ip": "192.0.2.7/24", "gw": "192.0.2.1",
        "ip6": "2001:db8::7/64", "gw6": "2001:db8::1", "nameserver": "192.0.2.53 2001:db8::53",
        "searchdomain": "a.example b.example",
    }  # fmt: skip
    guest = member.done("POST", "/proxmox/vms", vm(image=image, disk_gb=5, cloud_init=told))["result"]["guest"]
    assert (guest["node"], guest["disk_gb"], guest["made_from"]) == ("n1", 5, image)
    config = stored(house, guest)
    assert config["scsi0"] == f"local-lvm:vm-{guest['vmid']}-disk-0,size=5G"
    assert config["boot"].startswith("order=scsi0")
    assert "cloudinit" in config["ide0"]
    assert config["ipconfig0"] == "ip=192.0.2.7/24,gw=192.0.2.1,ip6=2001:db8::7/64,gw6=2001:db8::1"
    assert (config["nameserver"], config["searchdomain"]) == (told["nameserver"], told["searchdomain"])
    assert (config["ciuser"], config["cipassword"]) == ("maria", HASH)
    assert config["sshkeys"].startswith("ssh-ed25519%20")
    exactly = member.done("POST", "/proxmox/vms", vm(image=image, disk_gb=3))["result"]["guest"]
    assert stored(house, exactly)["scsi0"].endswith("size=3G"), "the image's own size: it was not an empty disk of 1"


def test_a_disk_smaller_than_the_image_s_is_refused_before_anything_is_made(
    house: House, member: Caller, image: str
) -> None:
    mark = house.pve.mark()
    answer = member.post("/proxmox/vms", vm(image=image, disk_gb=2))
    assert (answer.status_code, answer.get_json()["errors"]) == (
        422, {"disk_gb": ["must be at least 3, the size of the image's disk"]}
    )  # fmt: skip
    assert house.pve.writes(mark) == []


def test_l14_an_image_that_is_not_granted_and_what_is_no_image_look_missing(
    house: House, member: Caller, image: str
) -> None:
    stranger = house.make_member(house.make_tenant(storages=["local-lvm", "local"]))
    own = member.done("POST", "/proxmox/vms", vm())["result"]["guest"]
    refused = [stranger.post("/proxmox/vms", vm(image=image))]
    for ref in ("shelf:import/no-such.qcow2", f"local-lvm:vm-{own['vmid']}-disk-0", "/etc/passwd", "debian-12-vm"):
        refused.append(member.post("/proxmox/vms", vm(image=ref)))
    for answer in refused:
        assert answer.status_code == 422, answer.get_data(as_text=True)
        assert answer.get_json()["errors"] == {"image": ["is not a disk image that you may use"]}
    two = member.post("/proxmox/vms", vm(image=image, template="debian-12-vm"))
    assert list(two.get_json()["errors"]) == ["template"]
    as_iso = member.post("/proxmox/vms", vm(iso=image))
    assert list(as_iso.get_json()["errors"]) == ["iso"], "an image is no medium to install from"


def test_an_image_in_the_catalog_is_measured_deployed_with_a_way_in_and_what_a_vm_is_rebuilt_from(
    house: House, member: Caller, image: str
) -> None:
    admin = house.admin()
    made = admin.post("/templates", {"source": image, "name": f"image-{uuid.uuid4().hex[:6]}", "published": True})
    entry = made.get_json()
    assert (made.status_code, entry["kind"], entry["disk_gb"]) == (201, "vm", 3)
    small = member.post("/deployments", {"template_id": entry["name"], "name": "web", "disk_gb": 2})
    assert list(small.get_json()["errors"]) == ["disk_gb"]
    body = {"template_id": entry["name"], "name": "web", "memory": 64, "cores": 1, "start": False}
    deployed = member.done("POST", "/deployments", body)
    guest = deployed["result"]["guest"]
    assert guest["disk_gb"] == 3
    config = stored(house, guest)
    assert config["scsi0"].endswith("size=3G")
    assert config["cipassword"] == deployed["password"]
    base = f"/proxmox/vms/{guest['id']}"
    again = member.done("POST", f"{base}/rebuild", {"template": entry["id"]})["result"]["guest"]
    assert (again["vmid"], again["state"]) == (guest["vmid"], "stopped")
    assert stored(house, guest)["scsi0"].endswith("size=3G")
    by_image = member.done("POST", "/proxmox/vms", vm(image=entry["id"], disk_gb=3))["result"]["guest"]
    assert by_image["made_from"] == entry["name"]
    for one in (guest, by_image):
        member.done("DELETE", f"/proxmox/vms/{one['id']}")
    wait_for(lambda: admin.delete(f"/templates/{entry['id']}").status_code == 204)
