"""Guests become templates, and move to another node: both kinds alike."""

from __future__ import annotations

from typing import Any

import pytest

from app.db.models import Guest, Template
from app.db.session import Database
from tests.guests.test_change import KINDS, PVE_KIND, allocated, config, make
from tests.house import Caller, House


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_guest_becomes_a_template_stays_charged_and_is_not_started(
    house: House, member: Caller, tenant: dict[str, Any], kind: str
) -> None:
    guest = make(member, kind, start=True, disk_gb=2)
    path = f"/proxmox/{kind}/{guest['id']}"
    runs = member.post(f"{path}/template")
    assert (runs.status_code, runs.get_json()["code"]) == (409, "guest.running")
    member.done("POST", f"{path}/stop", {"force": True})
    member.done("POST", f"{path}/snapshots", {"name": "before"})
    kept = member.post(f"{path}/template")
    assert (kept.status_code, kept.get_json()["code"]) == (409, "guest.has_snapshots")
    member.done("DELETE", f"{path}/snapshots/before")
    charged = allocated(member, tenant)
    assert member.done("POST", f"{path}/template")["result"]["guest"]["template"] is True
    assert config(house, kind, guest)["template"] == 1
    assert allocated(member, tenant) == charged
    assert [one["id"] for one in member.get(f"/proxmox/{kind}?template=true").get_json()["data"]] == [guest["id"]]
    disk = {"size_gb": 1} | ({"path": "/srv"} if kind == "cts" else {})
    for action, body in (
        ("start", None), ("restart", None), ("template", None), ("snapshots", {"name": "later"}),
        ("rebuild", {"template": TEMPLATE[kind]}), ("disks", disk),
    ):  # fmt: skip
        refused = member.post(f"{path}/{action}", body)
        assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.template")
    member.done("DELETE", path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_administrator_moves_a_guest_to_another_node(house: House, member: Caller, kind: str) -> None:
    """A running one runs afterwards; our row follows, and asking for where it is already costs nothing."""
    guest = make(member, kind, start=True)
    path, admin = f"/proxmox/{kind}/{guest['id']}/migrate", house.admin()
    there, back = ("n2", "n1") if guest["node"] == "n1" else ("n1", "n2")
    assert member.post(path, {"node": there}).status_code == 403
    for wrong in ("n9", "vault"):
        refused = admin.post(path, {"node": wrong})
        assert (refused.status_code, [*refused.get_json()["errors"]]) == (422, ["node"])
    moved = admin.done("POST", path, {"node": there})["result"]["guest"]
    assert (moved["node"], moved["state"]) == (there, "running")
    status = house.pve.get(f"/nodes/{there}/{PVE_KIND[kind]}/{guest['vmid']}/status/current")
    assert status["status"] == "running"
    again = admin.done("POST", path, {"node": there})
    assert [step["upid"] for step in again["steps"] if step["upid"]] == []
    member.done("POST", f"/proxmox/{kind}/{guest['id']}/stop", {"force": True})
    assert admin.done("POST", path, {"node": back})["result"]["guest"]["state"] == "stopped"
    with house.pve.fault(kind="task_fails", task="migrate", text="migration aborted", count=1):
        failed = admin.post(path, {"node": there}, wait=30)
    assert (failed.status_code, failed.get_json()["code"]) == (502, "pve.task_failed")
    assert member.get(f"/proxmox/{kind}/{guest['id']}").get_json()["node"] == back
    member.done("DELETE", f"/proxmox/{kind}/{guest['id']}")


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqS0Jr9gWnUrSgTcu0pnlQhQp6vR5y2DbQ4ZxT1a9mP maria@example"


def test_a_vm_gets_a_new_log_in_by_cloud_init(house: House, member: Caller) -> None:
    """L46, L80: it is told at its next boot; the password is kept nowhere."""
    secret = "Zq-unfindable-4417"
    guest = make(member, "vms", cloud_init={"user": "maria", "ssh_keys": [KEY]}, start=True)
    path = f"/proxmox/vms/{guest['id']}/credentials"
    assert member.done("POST", path, {"password": secret})["result"]["pending"] is True
    after = config(house, "vms", guest)
    assert (after["ciuser"], after["cipassword"]) == ("maria", "**********")
    assert "maria%40example" in after["sshkeys"]
    assert house.pve.state()["guests"][str(guest["vmid"])]["config"]["cipassword"] == secret
    member.done("POST", path, {"ssh_keys": []})
    after = config(house, "vms", guest)
    assert (after["ciuser"], "sshkeys" in after) == ("maria", False)
    raw = b"".join(file.read_bytes() for file in house.state_dir.rglob("*") if file.is_file())
    assert secret.encode() not in raw
    for body, field in (({}, "password"), ({"ssh_keys": ["x"]}, "ssh_keys")):
        refused = member.post(path, body)
        assert (refused.status_code, [*refused.get_json()["errors"]]) == (422, [field])
    bare = make(member, "vms")
    told = member.post(f"/proxmox/vms/{bare['id']}/credentials", {"password": secret}, wait=30)
    assert (told.status_code, told.get_json()["code"]) == (409, "guest.no_cloud_init")
    ct = make(member, "cts")
    refused = member.post(f"/proxmox/cts/{ct['id']}/credentials", {"password": secret})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.unsupported")


TEMPLATE = {"cts": "debian-12", "vms": "debian-12-vm"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_is_rebuilt_with_its_number_size_and_cards(
    house: House, member: Caller, tenant: dict[str, Any], kind: str
) -> None:
    """A failure half-way is told, stays charged, and is mended by another try."""
    guest = make(member, kind, disk_gb=3, cores=2, net={"bridge": "vmbr0", "vlan": 7}, tags=["web"], start=True)
    path = f"/proxmox/{kind}/{guest['id']}"
    runs = member.post(f"{path}/rebuild", {"template": TEMPLATE[kind]})
    assert (runs.status_code, runs.get_json()["code"]) == (409, "guest.running")
    member.done("POST", f"{path}/stop", {"force": True})
    refused = member.post(f"{path}/rebuild", {"template": "no-such"})
    assert (refused.status_code, [*refused.get_json()["errors"]]) == (422, ["template"])
    member.done("PATCH", path, {"description": "mine"})
    before, charged = config(house, kind, guest), allocated(member, tenant)
    rebuilt = member.done("POST", f"{path}/rebuild", {"template": TEMPLATE[kind], "ssh_keys": [KEY]})["result"]["guest"]
    after = config(house, kind, rebuilt)
    for option in ("net0", "description", "tags", "cores", "memory"):
        assert after[option] == before[option], option
    assert allocated(member, tenant) == charged
    assert guest["vmid"] in house.pve.members(tenant["poolid"])
    same = ("id", "vmid", "name", "cores", "memory", "disk_gb", "tags", "poolid", "unprivileged")
    assert [rebuilt[name] for name in same] == [guest[name] for name in same]
    assert (rebuilt["made_from"], rebuilt["state"]) == (TEMPLATE[kind], "stopped")
    db = Database(house.settings.database_url)
    with db.read() as tx:
        assert tx.get_one(Template, tx.get_one(Guest, guest["id"]).catalog_id).name == TEMPLATE[kind]
    db.close()
    task = {"cts": f"vzcreate:{guest['vmid']}", "vms": "qmclone"}[kind]
    with house.pve.fault(kind="task_fails", task=task, text="disk is broken", count=1):
        failed = member.post(f"{path}/rebuild", {"template": TEMPLATE[kind]}, wait=30).get_json()
    assert (failed["code"], failed["left"]) == ("pve.task_failed", "failed")
    assert member.get(path).get_json()["state"] == "failed"
    assert allocated(member, tenant) == charged
    again = member.done("POST", f"{path}/rebuild", {"template": TEMPLATE[kind], "start": True})["result"]["guest"]
    assert (again["vmid"], again["state"]) == (guest["vmid"], "running")
    member.done("DELETE", f"{path}?force=true")
