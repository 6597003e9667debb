"""L122: what whoever administers the cluster does behind our back is noticed, told, charged, and can be put right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.house import Caller, House, container, wait_for
from tests.lab.process import LabProcess
from tests.privilege.planting import Planter, audit, rounds

#: Outside of the range that Poolhouse gives.
VMIDS = count(35_000)


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of these tests' own: its cluster is taken away, and its worker killed."""
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("drifting"), lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


@pytest.fixture(scope="module")
def planter(drifting: House) -> Planter:
    return Planter(drifting)


@pytest.fixture
def tenant(drifting: House) -> dict[str, Any]:
    return drifting.make_tenant()


@pytest.fixture
def member(drifting: House, tenant: dict[str, Any]) -> Caller:
    return drifting.make_member(tenant)


def make(member: Caller, kind: str = "ct", **more: Any) -> dict[str, Any]:
    body = container(**more) if kind == "ct" else {"name": "v", "memory": 128, "cores": 1, "disk_gb": 1, **more}
    guest: dict[str, Any] = member.done("POST", f"/proxmox/{kind}s", body)["result"]["guest"]
    return guest


def path_of(guest: dict[str, Any]) -> str:
    return f"/proxmox/{guest['kind']}s/{guest['id']}"


def in_pve(guest: dict[str, Any]) -> str:
    return f"/nodes/{guest['node']}/{'lxc' if guest['kind'] == 'ct' else 'qemu'}/{guest['vmid']}"


def take_out(house: House, guest: dict[str, Any]) -> None:
    """Out of its pool, by root."""
    house.pve.put("/pools", poolid=guest["poolid"], vms=guest["vmid"], delete=1)


def usage(house: House, tenant: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = house.admin().get(f"/tenants/{tenant['id']}/usage").get_json()
    return found


# -- what is believed


def test_l43_a_listing_without_rights_is_not_believed(drifting: House, member: Caller) -> None:
    """PVE answers an identity without rights with 200 and next to nothing."""
    guest = make(member)
    rounds(drifting, 2)
    seen = member.get(path_of(guest)).get_json()["observed_at"]
    token = "/access/users/root@pam/token/poolhouse"
    drifting.pve.put(token, privsep=1)
    try:
        wait_for(lambda: drifting.anonymous().get("/ready").status_code == 503)
        rounds(drifting, 3)
        shown = member.get(path_of(guest)).get_json()
        assert shown["state"] == "stopped"
        assert drifting.anonymous().get("/ready").get_json()["parts"]["cluster"] == "down"
    finally:
        drifting.pve.put(token, privsep=0)
    wait_for(lambda: drifting.anonymous().get("/ready").status_code == 200)
    assert member.get(path_of(guest)).get_json()["observed_at"] > seen


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "Permission check failed (/vms/1, VM.Audit)"),
        (500, "hostname lookup 'n1' failed - failed to get address info for: n1: Name or service not known"),
    ],
)
def test_l43_refused_is_not_absent(
    drifting: House, member: Caller, tenant: dict[str, Any], status: int, text: str
) -> None:
    """Two readings did without it, but PVE would not say of its config that it is gone."""
    guest = make(member, start=True)
    reading = {"method": "GET", "path": f"{in_pve(guest)}/config", "user": "root@pam!"}
    with drifting.pve.fault(**reading, kind="refuse", status=status, text=text):
        drifting.pve.delete(f"{in_pve(guest)}?force=1")
        rounds(drifting, 4)
        assert member.get(path_of(guest)).get_json()["state"] == "running"
    wait_for(lambda: member.get(path_of(guest)).get_json()["state"] == "missing")
    assert usage(drifting, tenant)["running"] == {"cores": 0, "memory": 0}
    assert usage(drifting, tenant)["allocated"]["memory"] == 128, "it may be put back"
    member.done("DELETE", path_of(guest))
    assert usage(drifting, tenant)["allocated"]["memory"] == 0


# -- what is noticed, told and charged


def drift_of(house: House, tenant: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """The only drift of a tenant, as an administrator sees it, once it is there and as wanted."""

    admin = house.admin()

    def found() -> dict[str, Any] | None:
        rows = admin.get(f"/drift?tenant={tenant['id']}").get_json()["data"]
        fits = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
        return fits[0] if fits and len(rows) == 1 else None

    one: dict[str, Any] = wait_for(found)
    return one


def none_left(house: House, tenant: dict[str, Any]) -> bool:
    return bool(house.admin().get(f"/drift?tenant={tenant['id']}").get_json()["count"] == 0)


@pytest.mark.parametrize(("kind", "runs"), [("ct", False), ("ct", True), ("vm", False)])
def test_l27_a_resized_guest_is_noticed_charged_and_told_once(
    drifting: House, tenant: dict[str, Any], member: Caller, kind: str, runs: bool
) -> None:
    """Also over the limit: what exists is charged, and only further growth is refused. Put back, it is over."""
    drifting.admin().put(f"/tenants/{tenant['id']}/quota", {"memory": 200, "cores": 4, "running_memory": 200})
    guest = make(member, kind, start=runs)
    option = "hostname" if kind == "ct" else "name"
    drifting.pve.put(f"{in_pve(guest)}/config", memory=256, cores=2, **{option: "renamed"})
    expected = {
        "name": {"expected": guest["name"], "found": "renamed"}, "cores": {"expected": 1, "found": 2},
        "memory": {"expected": 128, "found": 256},
    }  # fmt: skip
    found = drift_of(drifting, tenant, kind="changed")
    assert (found["guest"], found["vmid"], found["differences"]) == (guest["id"], guest["vmid"], expected)
    shown = member.get(path_of(guest)).get_json()
    assert (shown["name"], shown["memory"], shown["cores"]) == ("renamed", 256, 2)
    used = usage(drifting, tenant)
    assert (used["allocated"]["memory"], used["allocated"]["cores"]) == (256, 2)
    assert used["running"] == ({"cores": 2, "memory": 256} if runs else {"cores": 0, "memory": 0})
    refused = member.post("/proxmox/cts", container())
    assert (refused.status_code, refused.get_json()["used"]) == (403, 256)
    rounds(drifting, 2)
    (row,) = audit(drifting, "guest.drifted", tenant["id"])
    assert (row.actor, row.guest_id) == ("poolhouse", guest["id"])
    assert "memory 128 -> 256" in (row.subject or "")

    drifting.pve.put(f"{in_pve(guest)}/config", memory=128, cores=1, **{option: guest["name"]})
    wait_for(lambda: none_left(drifting, tenant))
    assert usage(drifting, tenant)["allocated"]["memory"] == 128
    assert len(audit(drifting, "guest.drift_ended", tenant["id"])) == 1


@pytest.mark.parametrize("kind", ["ct", "vm"])
def test_l27_a_grown_disk_is_noticed_and_charged(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter, kind: str
) -> None:
    guest = make(member, kind)
    disk = "rootfs" if kind == "ct" else "scsi0"
    planter.done(drifting.pve.put(f"{in_pve(guest)}/resize", disk=disk, size="3G"))
    found = drift_of(drifting, tenant, kind="changed")
    assert found["differences"] == {"disk_gb": {"expected": 1, "found": 3}}
    assert usage(drifting, tenant)["allocated"]["disk_gb"] == 3


def test_what_we_do_ourselves_is_no_drift(drifting: House, tenant: dict[str, Any], member: Caller) -> None:
    """Created, changed, grown, cloned, run and deleted, with the inventory reading all the time."""
    guest = make(member, start=True)
    machine = make(member, "vm", template="debian-12-vm", disk_gb=3, start=True)
    for change in ({"memory": 256}, {"disk_increment_gb": 1}, {"cores": 2, "name": "other"}, {"memory": 64}):
        member.done("PATCH", path_of(guest), change)
        member.done("PATCH", path_of(machine), change)
    rounds(drifting, 2)
    member.done("POST", f"{path_of(machine)}/stop", {"force": True})
    member.done("DELETE", f"{path_of(guest)}?force=true")
    rounds(drifting, 2)
    assert none_left(drifting, tenant)
    assert audit(drifting, "guest.drifted", tenant["id"]) == []


def test_what_a_member_asks_for_afterwards_is_agreed(drifting: House, tenant: dict[str, Any], member: Caller) -> None:
    guest = make(member)
    drifting.pve.put(f"{in_pve(guest)}/config", memory=256, cores=2)
    drift_of(drifting, tenant, kind="changed")
    member.done("PATCH", path_of(guest), {"memory": 512})
    found = wait_for(
        lambda: (one := drift_of(drifting, tenant))["differences"].keys() == {"cores"} and one,
    )
    assert found["differences"] == {"cores": {"expected": 1, "found": 2}}


def test_a_guest_on_another_node_is_followed_and_told(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter
) -> None:
    guest = make(member)
    target = "n2" if guest["node"] == "n1" else "n1"
    planter.done(drifting.pve.post(f"{in_pve(guest)}/migrate", target=target))
    found = drift_of(drifting, tenant, kind="moved")
    assert found["differences"] == {"node": {"expected": guest["node"], "found": target}}
    assert member.get(path_of(guest)).get_json()["node"] == target
    member.done("POST", f"{path_of(guest)}/start")


def test_a_guest_out_of_its_pool_is_told_and_takes_no_work(
    drifting: House, tenant: dict[str, Any], member: Caller
) -> None:
    guest = make(member)
    take_out(drifting, guest)
    found = drift_of(drifting, tenant, kind="outside_pool")
    assert found["differences"] == {"pool": {"expected": tenant["poolid"], "found": None}}
    mark = drifting.pve.mark()
    for answer in (
        member.post(f"{path_of(guest)}/start"), member.patch(path_of(guest), {"memory": 256}),
        member.delete(path_of(guest)), member.get(f"{path_of(guest)}/config"),
    ):  # fmt: skip
        assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.outside_pool")
        assert "/api/drift" in answer.get_json()["remedy"]
    assert drifting.pve.writes(mark) == []
    assert usage(drifting, tenant)["running"]["memory"] == 0
    drifting.pve.put("/pools", poolid=tenant["poolid"], vms=guest["vmid"])
    wait_for(lambda: none_left(drifting, tenant))
    member.done("POST", f"{path_of(guest)}/start")


def test_l17_members_see_their_own_drift_and_no_foreign_names(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter
) -> None:
    """A guest moved to another tenant's pool: its tenant is told that it left, the other one nothing."""
    other = drifting.make_tenant()
    stranger = drifting.make_member(other)
    guest = make(member)
    planter.move_in(guest["vmid"], other["poolid"])
    found = drift_of(drifting, tenant, kind="moved")
    assert found["differences"]["pool"] == {"expected": tenant["poolid"], "found": other["poolid"]}
    listed = member.get("/drift")
    assert [row["id"] for row in listed.get_json()["data"]] == [found["id"]]
    assert listed.get_json()["data"][0]["differences"]["pool"] == {"expected": tenant["poolid"], "found": None}
    assert other["poolid"] not in listed.get_data(as_text=True)
    assert stranger.get("/drift").get_json()["data"] == []
    assert member.get(f"/drift?tenant={other['id']}").status_code == 404
    assert member.get("/drift?kind=changed").get_json()["data"] == []
    told = "".join(row.subject or "" for row in audit(drifting, "guest.drifted", tenant["id"]))
    assert other["poolid"] not in told


def test_a_guest_made_in_a_tenants_pool_behind_our_back_is_told(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter
) -> None:
    vmid = planter.container(hostname="foundling", privileged=False, pool=tenant["poolid"])
    found = drift_of(drifting, tenant, kind="unmanaged")
    assert {**found, "id": "", "first_seen_at": ""} == {
        "id": "", "kind": "unmanaged", "tenant": tenant["id"], "guest": None, "cluster": "lab", "node": "n1",
        "vmid": vmid, "guest_kind": "ct", "name": "foundling", "differences": {}, "first_seen_at": "",
    }  # fmt: skip
    assert member.get("/drift").get_json()["data"] == [found]
    rounds(drifting, 2)
    assert len(audit(drifting, "guest.drifted", tenant["id"])) == 1
    drifting.pve.delete(f"/nodes/n1/lxc/{vmid}")
    wait_for(lambda: none_left(drifting, tenant))


def test_a_missing_guest_is_drift_until_it_is_back_or_deleted(
    drifting: House, tenant: dict[str, Any], member: Caller
) -> None:
    guest = make(member)
    drifting.pve.delete(in_pve(guest))
    found = drift_of(drifting, tenant, kind="missing")
    assert found["guest"] == guest["id"]
    member.done("DELETE", path_of(guest))
    assert none_left(drifting, tenant)


# -- what is done about it


def settle(house: House, row: dict[str, Any], verb: str) -> Any:
    """By an administrator, to its end."""
    return house.admin().post(f"/drift/{row['id']}/{verb}", wait=60)


def test_a_changed_guest_is_adopted_as_it_stands(drifting: House, tenant: dict[str, Any], member: Caller) -> None:
    guest = make(member)
    drifting.pve.put(f"{in_pve(guest)}/config", memory=256)
    found = drift_of(drifting, tenant, kind="changed")
    mark = drifting.pve.mark()
    answer = settle(drifting, found, "adopt")
    assert (answer.status_code, answer.get_json()["state"]) == (200, "succeeded")
    assert answer.get_json()["result"]["guest"]["memory"] == 256
    assert drifting.pve.writes(mark) == []
    rounds(drifting, 2)
    assert none_left(drifting, tenant)
    assert usage(drifting, tenant)["allocated"]["memory"] == 256
    assert settle(drifting, found, "adopt").status_code == 404


@pytest.mark.parametrize("kind", ["ct", "vm"])
def test_a_changed_guest_is_repaired(drifting: House, tenant: dict[str, Any], member: Caller, kind: str) -> None:
    guest = make(member, kind, start=True)
    option = "hostname" if kind == "ct" else "name"
    drifting.pve.put(f"{in_pve(guest)}/config", **{option: "renamed"})
    if kind == "ct":
        drifting.pve.put(f"{in_pve(guest)}/config", memory=64, cores=2)
    found = wait_for(
        lambda: (
            (one := drift_of(drifting, tenant, kind="changed"))
            and len(one["differences"]) == (3 if kind == "ct" else 1)
            and one
        )
    )
    answer = settle(drifting, found, "repair")
    assert answer.status_code == 200, answer.get_json()
    config = drifting.pve.get(f"{in_pve(guest)}/config")
    assert (config[option], config["memory"], config["cores"]) == (guest["name"], type(config["memory"])(128), 1)
    assert member.get(path_of(guest)).get_json()["name"] == guest["name"]
    assert usage(drifting, tenant)["allocated"]["memory"] == 128
    assert usage(drifting, tenant)["running"] == {"cores": 1, "memory": 128}
    rounds(drifting, 2)
    assert none_left(drifting, tenant)


def test_l26_what_a_repair_makes_grow_is_claimed_first(drifting: House, tenant: dict[str, Any], member: Caller) -> None:
    guest = make(member, memory=256)
    drifting.pve.put(f"{in_pve(guest)}/config", memory=64)
    found = drift_of(drifting, tenant, kind="changed")
    drifting.admin().put(f"/tenants/{tenant['id']}/quota", {"memory": 200})
    refused = settle(drifting, found, "repair")
    assert (refused.status_code, refused.get_json()["code"]) == (403, "quota.exceeded")
    assert usage(drifting, tenant)["allocated"]["memory"] == 64
    drifting.admin().put(f"/tenants/{tenant['id']}/quota", {"memory": None})
    assert settle(drifting, found, "repair").status_code == 200
    assert usage(drifting, tenant)["allocated"]["memory"] == 256


def test_a_grown_disk_is_not_repaired_but_adopted(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter
) -> None:
    guest = make(member)
    planter.done(drifting.pve.put(f"{in_pve(guest)}/resize", disk="rootfs", size="3G"))
    found = drift_of(drifting, tenant, kind="changed")
    refused = settle(drifting, found, "repair")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "drift.disk")
    assert "adopt" in refused.get_json()["remedy"]
    assert settle(drifting, found, "adopt").status_code == 200
    assert none_left(drifting, tenant)


def test_a_guest_outside_its_pool_is_repaired_and_works_again(
    drifting: House, tenant: dict[str, Any], member: Caller
) -> None:
    """Put back by the administrator's identity, which writes to nothing else."""
    guest = make(member)
    drifting.pve.put(f"{in_pve(guest)}/config", memory=256)
    drift_of(drifting, tenant, kind="changed")
    take_out(drifting, guest)
    found = drift_of(drifting, tenant, kind="outside_pool")
    refused = settle(drifting, found, "adopt")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "drift.not_possible")
    mark = drifting.pve.mark()
    assert settle(drifting, found, "repair").status_code == 200
    written = drifting.pve.writes(mark)
    assert {(call["user"], call["path"]) for call in written if call["user"].startswith("root")} == {
        ("root@pam!poolhouse", "/pools")
    }
    assert guest["vmid"] in drifting.pve.members(tenant["poolid"])
    assert drifting.pve.get(f"{in_pve(guest)}/config")["memory"] == 128
    member.done("POST", f"{path_of(guest)}/start")
    rounds(drifting, 2)
    assert none_left(drifting, tenant)


def test_l30_a_guest_in_another_tenants_pool_goes_to_it_or_back(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter
) -> None:
    """Adopted it is the other tenant's, with its quota; repaired it is where it was."""
    other = drifting.make_tenant(quota={"memory": 100})
    guest = make(member, start=True)
    planter.move_in(guest["vmid"], other["poolid"])
    found = drift_of(drifting, tenant, kind="moved")
    assert settle(drifting, found, "forget").status_code == 409
    refused = settle(drifting, found, "adopt")
    assert (refused.status_code, refused.get_json()["limit"]) == (403, 100)
    assert settle(drifting, found, "repair").status_code == 200
    assert guest["vmid"] in drifting.pve.members(tenant["poolid"])

    planter.move_in(guest["vmid"], other["poolid"])
    found = drift_of(drifting, tenant, kind="moved")
    drifting.admin().put(f"/tenants/{other['id']}/quota", {"memory": 500})
    answer = settle(drifting, found, "adopt")
    assert answer.status_code == 200, answer.get_json()
    shown = answer.get_json()["result"]["guest"]
    assert (shown["tenant"], shown["poolid"]) == (other["id"], other["poolid"])
    assert member.get(path_of(guest)).status_code == 404
    assert usage(drifting, tenant)["allocated"]["guests"] == 0
    assert usage(drifting, other)["allocated"]["memory"] == 128
    assert usage(drifting, other)["running"] == {"cores": 1, "memory": 128}
    rounds(drifting, 2)
    assert none_left(drifting, tenant)
    assert none_left(drifting, other)
    drifting.make_member(other).done("POST", f"{path_of(guest)}/stop", {"force": True})


@pytest.mark.parametrize("kind", ["ct", "vm"])
def test_an_unmanaged_guest_becomes_its_pools_tenants(
    drifting: House, tenant: dict[str, Any], member: Caller, planter: Planter, kind: str
) -> None:
    """Charged, within the quota, marked as ours with the tenant's own token, and worked on like any other."""
    drifting.admin().put(f"/tenants/{tenant['id']}/quota", {"memory": 300})
    if kind == "ct":
        vmid = planter.container(
            privileged=False, pool=tenant["poolid"], hostname="foundling", memory=320, cores=2,
            description="first\npoolhouse-guest: another\nlast",
        )  # fmt: skip
    else:
        vmid = next(VMIDS)
        created = drifting.pve.post(
            "/nodes/n1/qemu", vmid=vmid, name="foundling", pool=tenant["poolid"], memory=320, cores=2,
            scsi0="local-lvm:1", description="first\npoolhouse-guest: another\nlast",
        )  # fmt: skip
        planter.done(created)
    found = drift_of(drifting, tenant, kind="unmanaged")
    assert settle(drifting, found, "repair").status_code == 409
    assert settle(drifting, found, "forget").status_code == 409
    refused = settle(drifting, found, "adopt")
    assert (refused.status_code, refused.get_json()["requested"]) == (403, 320)
    assert usage(drifting, tenant)["allocated"]["guests"] == 0
    drifting.admin().put(f"/tenants/{tenant['id']}/quota", {"memory": 400})
    mark = drifting.pve.mark()
    answer = settle(drifting, found, "adopt")
    assert answer.status_code == 200, answer.get_json()
    guest = answer.get_json()["result"]["guest"]
    assert (guest["vmid"], guest["tenant"], guest["memory"], guest["cores"]) == (vmid, tenant["id"], 320, 2)
    description = drifting.pve.get(f"{in_pve(guest)}/config")["description"]
    assert description.split("\n")[0] == f"poolhouse-guest: {guest['id']}"
    assert ("first" in description, "last" in description, "another" in description) == (True, True, False)
    assert {call["user"] for call in drifting.pve.writes(mark)} == {f"{tenant['pve_user']}!poolhouse"}
    assert usage(drifting, tenant)["allocated"]["memory"] == 320
    assert none_left(drifting, tenant)
    member.done("POST", f"{path_of(guest)}/start")
    member.done("DELETE", f"{path_of(guest)}?force=true")
    assert vmid not in drifting.pve.members(tenant["poolid"])
    assert usage(drifting, tenant)["allocated"]["guests"] == 0


def test_l16_a_privileged_container_is_never_adopted(drifting: House, tenant: dict[str, Any], planter: Planter) -> None:
    planter.container(hostname="foundling", pool=tenant["poolid"])
    refused = settle(drifting, drift_of(drifting, tenant, kind="unmanaged"), "adopt")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "guest.privileged")
    assert usage(drifting, tenant)["allocated"]["guests"] == 0


@pytest.mark.parametrize("how", ["missing", "outside_pool"])
def test_a_guest_is_forgotten_and_pve_left_alone(
    drifting: House, tenant: dict[str, Any], member: Caller, how: str
) -> None:
    guest = make(member)
    if how == "missing":
        drifting.pve.delete(in_pve(guest))
    else:
        take_out(drifting, guest)
    found = drift_of(drifting, tenant, kind=how)
    mark = drifting.pve.mark()
    for _ in range(2):
        answer = drifting.admin().post(f"/drift/{found['id']}/forget", Idempotency_Key=f"forget-{guest['id']}")
        assert answer.status_code == 204
    assert drifting.pve.writes(mark) == []
    assert member.get(path_of(guest)).status_code == 404
    assert usage(drifting, tenant)["allocated"]["guests"] == 0
    assert none_left(drifting, tenant)
    assert len(audit(drifting, "drift.forget", tenant["id"])) == 1
    if how == "outside_pool":
        assert drifting.pve.get(f"{in_pve(guest)}/status/current")["status"] == "stopped"


def test_only_administrators_settle_drift(drifting: House, tenant: dict[str, Any], member: Caller) -> None:
    guest = make(member)
    drifting.pve.put(f"{in_pve(guest)}/config", memory=256)
    found = drift_of(drifting, tenant, kind="changed")
    for verb in ("adopt", "forget", "repair"):
        assert member.post(f"/drift/{found['id']}/{verb}").status_code == 403
    assert drift_of(drifting, tenant)["id"] == found["id"]


# -- work on a guest that has left its pool


def test_power_on_guests_that_left_their_pool_meanwhile_fails_and_gives_back(
    drifting: House, member: Caller, tenant: dict[str, Any]
) -> None:
    """Accepted, and carried out after somebody took them out: PVE refuses the tenant, and the undo still ends."""
    made = {action: make(member, start=action != "start") for action in ("start", "stop", "reboot")}
    end_workers(drifting)
    operations = {}
    for action, guest in made.items():
        answer = member.post(f"{path_of(guest)}/{action}")
        assert answer.status_code == 202
        operations[action] = answer.get_json()["id"]
        take_out(drifting, guest)
    drifting.start_worker()
    for action, guest in made.items():
        operation = ended(member, operations[action])
        assert (operation["state"], operation["error"]["code"]) == ("failed", "pve.refused")
        shown = member.get(path_of(guest)).get_json()["state"]
        assert shown == ("stopped" if action == "start" else "running")
    assert usage(drifting, tenant)["running"] == {"cores": 2, "memory": 256}


def end_workers(house: House) -> None:
    """In good order: their work is not waited for."""
    for worker in list(house.workers):
        worker.terminate()
        worker.wait(20)
        house.workers.remove(worker)


def ended(caller: Caller, operation: str) -> dict[str, Any]:
    """The operation in its final state."""

    def final() -> dict[str, Any] | None:
        found: dict[str, Any] = caller.get(f"/operations/{operation}").get_json()
        return found if found["state"] in ("succeeded", "failed", "stuck", "cancelled") else None

    found: dict[str, Any] = wait_for(final)
    return found
