"""The life of a guest of each kind, through the API, as PVE shows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import Caller, House, container, vm, wait_for
from tests.privilege.planting import Planter

KINDS = ("cts", "vms")
BODIES = {"cts": container, "vms": vm}
PVE_KIND = {"cts": "lxc", "vms": "qemu"}


def seen(house: House, kind: str, guest: dict[str, Any]) -> dict[str, Any]:
    """The guest's config as the lab's administrator sees it."""
    found: dict[str, Any] = house.pve.get(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/config")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_create_start_stop_reboot_delete(house: House, tenant: dict[str, Any], member: Caller, kind: str) -> None:
    body = BODIES[kind](memory=256, cores=2, disk_gb=2)
    accepted = member.post(f"/proxmox/{kind}", body)
    assert accepted.status_code == 202
    operation = accepted.get_json()
    assert accepted.headers["Location"] == f"/api/operations/{operation['id']}"
    assert operation["state"] == "pending"
    listed = member.get(f"/proxmox/{kind}").get_json()["data"]
    assert operation["guest"] in [g["id"] for g in listed], "L121: who got a 202 finds the guest in the next read"

    path = accepted.headers["Location"].removeprefix("/api")
    wait_for(lambda: member.get(path).get_json()["state"] == "succeeded")
    guest = member.get(path).get_json()["result"]["guest"]
    read = member.get(f"/proxmox/{kind}/{guest['vmid']}").get_json()
    assert guest | {"observed_at": read["observed_at"]} == read
    assert (guest["state"], guest["cores"], guest["memory"], guest["disk_gb"]) == ("stopped", 2, 256, 2)
    assert guest["poolid"] == tenant["poolid"]
    assert 10_000 <= guest["vmid"] < 20_000, "L36: from our own range"
    config = seen(house, kind, guest)
    assert int(config["memory"]) == 256
    assert config["cores"] == 2
    assert f"poolhouse-guest: {guest['id']}" in config["description"]
    members = house.pve.members(tenant["poolid"])
    assert guest["vmid"] in members, "every guest is in its tenant's pool"

    base = f"/proxmox/{kind}/{guest['id']}"
    started = member.done("POST", f"{base}/start")
    assert started["result"]["guest"]["state"] == "running"
    assert member.get(f"{base}/status").get_json()["live"]["status"] == "running"
    upids = [step["upid"] for step in member.done("POST", f"{base}/start")["steps"] if step["upid"]]
    assert upids == [], "L106: the state it has already is success, without a task"
    assert member.done("POST", f"{base}/reboot")["result"]["guest"]["state"] == "running"
    refused = member.delete(base)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.running")
    assert member.done("POST", f"{base}/stop")["result"]["guest"]["state"] == "stopped"
    asleep = member.post(f"{base}/reboot", wait=30)
    assert (asleep.status_code, asleep.get_json()["code"]) == (409, "guest.not_running")
    member.done("POST", f"{base}/start")
    assert member.done("POST", f"{base}/stop", {"force": True})["result"]["guest"]["state"] == "stopped"
    member.done("DELETE", base)
    assert member.get(base).status_code == 404
    assert guest["vmid"] not in [g["vmid"] for g in house.pve.guests()]


def test_every_container_is_unprivileged_sent_and_read_back(house: House, member: Caller) -> None:
    """L16."""
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    assert guest["unprivileged"] is True
    assert seen(house, "cts", guest)["unprivileged"] == 1
    refused = member.post("/proxmox/cts", container(unprivileged=False))
    assert (refused.status_code, refused.get_json()["code"]) == (422, "policy.unprivileged_only")
    assert "unprivileged" in refused.get_json()["errors"]


def test_what_is_asked_reaches_pve(house: House, member: Caller) -> None:
    """L45."""
    body = container(
        swap=64, nesting=True, net={"bridge": "vmbr0", "ip": "10.9.8.7/24", "gw": "10.9.8.1", "vlan": 12, "rate": 5},
        storage="local-lvm", tags=["web", "blue"],
    )  # fmt: skip
    guest = member.done("POST", "/proxmox/cts", body)["result"]["guest"]
    config = seen(house, "cts", guest)
    assert config["hostname"] == body["name"]
    assert config["swap"] == 64
    assert config["features"] == "nesting=1"
    for part in ("bridge=vmbr0", "ip=10.9.8.7/24", "gw=10.9.8.1", "tag=12", "rate=5"):
        assert part in config["net0"]
    assert config["rootfs"].startswith("local-lvm:")
    assert sorted(config["tags"].split(";")) == guest["tags"][::-1] == ["blue", "web"]


def test_a_vm_from_a_template_has_the_size_and_settings_asked_for(house: House, member: Caller) -> None:
    """L44."""
    body = vm(
        template="debian-12-vm", disk_gb=5, memory=300, cores=2, tags=["web", "blue"],
        cloud_init={"user": "maria", "password": "a secret word", "ip": "dhcp"},
    )  # fmt: skip
    guest = member.done("POST", "/proxmox/vms", body)["result"]["guest"]
    config = seen(house, "vms", guest)
    assert int(config["memory"]) == 300
    assert config["cores"] == 2
    assert "size=5G" in next(value for key, value in config.items() if key.startswith("scsi0"))
    assert config["ciuser"] == "maria"
    assert sorted(config["tags"].split(";")) == ["blue", "web"]
    assert f"poolhouse-guest: {guest['id']}" in config["description"]


def test_passwords_are_not_kept(house: House, member: Caller) -> None:
    """L46."""
    secret = "Xy-unfindable-7231"
    member.done("POST", "/proxmox/cts", container(password=secret))
    raw = b"".join(path.read_bytes() for path in house.state_dir.rglob("*") if path.is_file())
    assert secret.encode() not in raw


def test_tenant_work_goes_out_under_the_tenants_own_token(house: House, tenant: dict[str, Any], member: Caller) -> None:
    """L11: the administrator's identity writes to /pools only, and never to a guest."""
    before = len(house.calls())
    for kind in KINDS:
        guest = member.done("POST", f"/proxmox/{kind}", BODIES[kind]())["result"]["guest"]
        member.done("POST", f"/proxmox/{kind}/{guest['id']}/start")
        member.done("POST", f"/proxmox/{kind}/{guest['id']}/stop")
        member.done("DELETE", f"/proxmox/{kind}/{guest['id']}")
    writes = [call for call in house.calls()[before:] if call["method"] != "GET"]
    assert writes
    token = f"{tenant['pve_user']}!poolhouse"
    foreign = [call for call in writes if call["user"] != token and not call["path"].startswith("/pools")]
    assert foreign == []


def test_lists_cost_pve_nothing(house: House, member: Caller) -> None:
    """L112."""
    member.done("POST", "/proxmox/cts", container())
    mark = len(house.calls())
    for _ in range(20):
        for kind in KINDS:
            assert member.get(f"/proxmox/{kind}?limit=10&sort=-name").status_code == 200
    asked = [call for call in house.calls()[mark:] if call["path"] != "/cluster/resources"]
    assert len(asked) <= 2, "only the refresher may have been at work"


def test_a_failed_creation_leaves_no_trace_and_gives_everything_back(
    house: House, tenant: dict[str, Any], member: Caller
) -> None:
    """L28, L40."""
    before = member.get(f"/tenants/{tenant['id']}").get_json()["usage"]
    with house.pve.fault(kind="task_fails", task="vzcreate", text="unable to create CT - disk is broken", count=1):
        answer = member.post("/proxmox/cts", container(), wait=30)
    assert answer.status_code == 502, answer.get_data(as_text=True)
    assert answer.get_json()["code"] == "pve.task_failed"
    assert member.get(f"/tenants/{tenant['id']}").get_json()["usage"] == before


def test_a_create_that_could_not_join_its_pool_is_joined(house: House, tenant: dict[str, Any], member: Caller) -> None:
    """L131."""
    with house.pve.fault(kind="pool_join_fails", count=1):
        guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    members = house.pve.members(tenant["poolid"])
    assert guest["vmid"] in members


def test_a_lost_answer_makes_no_second_guest(house: House, tenant: dict[str, Any], member: Caller) -> None:
    """L38, L74."""
    with house.pve.fault(method="POST", path="/nodes/[^/]+/lxc", kind="lost_reply", count=1):
        guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    created = [c for c in house.pve.tasks() if c["type"] == "vzcreate" and c["id"] == str(guest["vmid"])]
    assert len(created) == 1


@pytest.mark.parametrize(
    ("kind", "body", "answers"),
    [
        ("cts", container(), [200, 500]),
        ("vms", vm(), [200, 500]),
        ("vms", vm(template="debian-12-vm", disk_gb=2), [200, 200]),
    ],
    ids=["ct", "vm", "clone"],
)
def test_a_call_that_arrives_twice_makes_the_guest_it_asked_for(
    house: House, tenant: dict[str, Any], member: Caller, kind: str, body: dict[str, Any], answers: list[int]
) -> None:
    """L74: the answer is the second one's, "already exists", and what exists is ours. Of a clone its task finds out."""
    mark = house.pve.mark()
    with house.pve.fault(method="POST", path="/nodes/[^/]+/(lxc|qemu|qemu/[0-9]+/clone)$", kind="duplicate", count=1):
        guest = member.done("POST", f"/proxmox/{kind}", {**body, "start": True})["result"]["guest"]
    assert guest["state"] == "running"
    assert guest["vmid"] in house.pve.members(tenant["poolid"])
    makings = [call for call in house.pve.writes(mark) if call["path"].endswith(("/lxc", "/qemu", "/clone"))]
    assert [call["status"] for call in makings] == answers


@pytest.mark.parametrize(
    ("kind", "body"),
    [("cts", container()), ("vms", vm()), ("vms", vm(template="debian-12-vm", disk_gb=2))],
    ids=["ct", "vm", "clone"],
)
def test_a_vmid_that_somebody_took_in_between_is_his(
    house: House, tenant: dict[str, Any], member: Caller, kind: str, body: dict[str, Any]
) -> None:
    """With a guest of the same kind or of the other, on this node or another."""
    before = member.get(f"/tenants/{tenant['id']}").get_json()["usage"]
    path = "/nodes/[^/]+/(lxc|qemu|qemu/[0-9]+/clone)$"
    with house.pve.fault(method="POST", path=path, user="!", kind="delay", seconds=3, count=1):
        begun = member.post(f"/proxmox/{kind}", body).get_json()
        guest = member.get(f"/proxmox/{kind}/{begun['guest']}").get_json()
        Planter(house).container(guest["vmid"], privileged=False)
    path = f"/operations/{begun['id']}"
    ended = wait_for(lambda: (found := member.get(path).get_json())["finished_at"] and found)
    assert (ended["state"], ended["error"]["code"], ended["error"]["status"]) == ("failed", "vmid.taken", 409)
    assert Planter(house).config(guest["vmid"])["ostype"], "the other's guest stands"
    assert guest["vmid"] not in house.pve.members(tenant["poolid"])
    assert member.get(f"/tenants/{tenant['id']}").get_json()["usage"] == before
    house.pve.delete(f"/nodes/n1/lxc/{guest['vmid']}")


def test_a_lost_answer_to_a_clone_waits_for_running_clones_only(
    house: House, tenant: dict[str, Any], member: Caller
) -> None:
    """A clone's task carries the template's id: those of other guests, long ended, look the same."""
    member.done("POST", "/proxmox/vms", vm(template="debian-12-vm", disk_gb=2))
    with house.pve.fault(method="POST", path="/qemu/[0-9]+/clone", kind="lost_reply", count=1):
        guest = member.done("POST", "/proxmox/vms", vm(template="debian-12-vm", disk_gb=2))["result"]["guest"]
    assert guest["vmid"] in house.pve.members(tenant["poolid"])


def test_a_guest_deleted_behind_our_back_is_missing_and_can_be_deleted(house: House, member: Caller) -> None:
    """L122."""
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    house.pve.delete(f"/nodes/{guest['node']}/lxc/{guest['vmid']}")
    wait_for(lambda: member.get(f"/proxmox/cts/{guest['id']}").get_json()["state"] == "missing")
    member.done("DELETE", f"/proxmox/cts/{guest['id']}")
    assert member.get(f"/proxmox/cts/{guest['id']}").status_code == 404


def test_a_second_operation_on_a_busy_guest_is_told_which_one_is_open(house: House, member: Caller) -> None:
    """L120."""
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    with house.pve.fault(method="POST", path=".*/status/start", kind="delay", seconds=2, count=1):
        first = member.post(f"/proxmox/cts/{guest['id']}/start")
        second = member.post(f"/proxmox/cts/{guest['id']}/stop")
    assert first.status_code == 202
    assert (second.status_code, second.get_json()["code"]) == (409, "guest.busy")
    assert second.get_json()["operation"] == first.headers["Location"]


@pytest.mark.parametrize("part", ["status", "config"])
def test_a_refusal_of_pve_on_a_live_read_is_502(house: House, member: Caller, part: str) -> None:
    """L70: never 409 or 401 for a guest that is there."""
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    with house.pve.fault(
        method="GET", path=f"/lxc/{guest['vmid']}/", kind="refuse", status=500, text="boo n1.internal"
    ):
        answer = member.get(f"/proxmox/cts/{guest['id']}/{part}")
    assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.refused")
    assert "internal" not in answer.get_data(as_text=True)
