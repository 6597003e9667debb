"""L16: whatever is planted in the cluster, nothing that Poolhouse makes or starts is a privileged container."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from app import bootstrap
from app.db.models import Backup, Template
from app.db.session import Database
from app.domain.errors import Invalid, PveRefused
from app.domain.guests import GuestKind
from app.domain.identifiers import GuestName, NodeName, PoolId, VmId
from app.operations import Saga
from app.pve import Pve
from app.sagas import REGISTRY, guest
from tests.house import Caller, House, container, vm, wait_for
from tests.privilege.planting import Planter, rounds

N1 = NodeName("n1")


@pytest.fixture(scope="module")
def planter(house: House) -> Planter:
    return Planter(house)


@pytest.fixture(scope="module")
def archive(planter: Planter) -> str:
    """The backup of a privileged container, on a storage that tenants have."""
    return planter.backup(planter.container(hostname="old"))


@pytest.fixture(scope="module")
def template(house: House, planter: Planter) -> int:
    """A privileged container that was made a template and published to all tenants."""
    vmid = planter.container(hostname="golden", pool=house.settings.catalog_pool)
    house.pve.post(f"/nodes/n1/lxc/{vmid}/template")
    wait_for(lambda: planter.config(vmid).get("template") == 1)
    return vmid


@pytest.fixture
def own(house: House, tenant: dict[str, Any]) -> Iterator[Pve]:
    """PVE as this tenant's own token sees it, through our gateway."""
    built = bootstrap.build(house.settings)
    yield built.credentials.as_tenant(tenant["id"])
    built.db.close()


def sagas_that_make() -> list[Saga]:
    return [saga for saga in REGISTRY.values() if "created" in [step.name for step in saga.steps] and _has_guest(saga)]


def _has_guest(saga: Saga) -> bool:
    return "vmid" in getattr(saga.parameters, "__dataclass_fields__", {})


@pytest.mark.parametrize("saga", sagas_that_make(), ids=lambda saga: saga.type)
def test_l16_every_saga_that_makes_a_guest_reads_it_back_before_it_runs(saga: Saga) -> None:
    steps = {step.name: (place, step) for place, step in enumerate(saga.steps)}
    assert steps["verified"][1].do is guest.check_made
    assert steps["created"][0] < steps["verified"][0]
    assert "started" not in steps or steps["verified"][0] < steps["started"][0]
    assert steps["created"][1].undo is guest.make_gone


def test_both_kinds_are_made_by_such_a_saga() -> None:
    assert {"ct.create", "vm.create", "ct.restore_as_new", "vm.restore_as_new"} <= {
        saga.type for saga in sagas_that_make()
    }


def test_l16_an_archive_of_a_privileged_container_is_no_template(
    member: Caller, planter: Planter, tenant: dict[str, Any], archive: str
) -> None:
    for body in (container(template=archive), container(template=f"{archive},unprivileged=0")):
        refused = member.post("/proxmox/cts", body)
        assert (refused.status_code, refused.get_json()["code"]) == (422, "validation.failed")
    refused = member.post("/proxmox/vms", vm(iso=archive))
    assert refused.status_code == 422
    assert planter.privileged_in(tenant["poolid"]) == []


def test_l16_a_privileged_template_is_no_template(
    house: House, member: Caller, planter: Planter, tenant: dict[str, Any], template: int
) -> None:
    """Neither by number nor by volume, nor as an entry that somebody put into the catalog."""
    volume = planter.config(template)["rootfs"].partition(",")[0]
    with_vmid = _publish(house, GuestKind.CT, template)
    as_vm = _publish(house, GuestKind.VM, template)
    for ref in (str(template), volume):
        assert member.post("/proxmox/cts", container(template=ref)).status_code == 422
    rounds(house, 2)
    mark = house.pve.mark()
    cloned = member.post("/proxmox/cts", container(template=with_vmid), wait=60)
    assert cloned.get_json()["code"] == "policy.privileged_guest", cloned.get_data(as_text=True)
    assert [call for call in house.pve.writes(mark) if call["path"].endswith("/clone")] == []
    assert member.post("/proxmox/vms", vm(template=as_vm)).status_code == 422
    assert planter.privileged_in(tenant["poolid"]) == []


def _publish(house: House, kind: GuestKind, vmid: int) -> str:
    name = f"planted-{uuid.uuid4().hex[:8]}"
    db = Database(house.settings.database_url)
    with db.begin() as tx:
        cluster = tx.query(Template).filter_by(name="debian-12").one().cluster_id
        row = Template(
            id=str(uuid.uuid4()), cluster_id=cluster, name=name, kind=kind, description="", volid=None, vmid=vmid,
            disk_gb=1, published=True,
        )  # fmt: skip
        tx.add(row)
    db.close()
    return name


def test_l16_a_clone_of_a_privileged_template_stops_at_our_gateway(
    house: House, own: Pve, tenant: dict[str, Any], template: int, planter: Planter
) -> None:
    """PVE itself would make it, as the second half shows: the tenant may clone what is published."""
    before = len(house.calls())
    with pytest.raises(PveRefused) as caught:
        own.node(N1).lxc(VmId(template)).clone(
            newid=VmId(39_001), name=GuestName("c"), full=True, pool=PoolId(tenant["poolid"]), description="x"
        )
    assert caught.value.code == "policy.privileged_guest"
    assert [call for call in house.calls()[before:] if call["method"] == "POST"] == []
    path = ("nodes", "n1", "lxc", str(template), "clone")
    made = (
        own.node(N1)
        .lxc(VmId(template))
        ._client.post(path, {"newid": 39_002, "full": True, "pool": tenant["poolid"], "description": "x"})
    )
    planter.done(made)
    assert planter.privileged_in(tenant["poolid"]) == [39_002]
    house.pve.delete("/nodes/n1/lxc/39002")


def test_l16_a_restore_is_sent_as_unprivileged_or_not_at_all(
    own: Pve, archive: str, tenant: dict[str, Any], house: House
) -> None:
    """PVE takes the flag from the archive where nothing is said."""
    before = len(house.calls())
    client = own.node(N1).lxc(VmId(39_003))._client
    for more in ({"restore": 1}, {"restore": 1, "unprivileged": 0}, {"unprivileged": 0}, {"force": 1}, {}):
        with pytest.raises(Invalid):
            client.post(
                ("nodes", "n1", "lxc"), {"vmid": 39_003, "ostemplate": archive, "pool": tenant["poolid"], **more}
            )
    assert [call for call in house.calls()[before:] if call["method"] == "POST"] == []


@pytest.mark.parametrize("as_new", [False, True])
def test_l16_a_privileged_archive_is_not_restored(
    house: House, planter: Planter, member: Caller, tenant: dict[str, Any], as_new: bool
) -> None:
    """Planted in the place of the one that we had taken."""
    guest = member.done("POST", "/proxmox/cts", container(storage="local-lvm"))["result"]["guest"]
    path = f"/proxmox/cts/{guest['id']}"
    backup = member.done("POST", f"{path}/backups", {"storage": "local"})["result"]["backup"]
    planter.replace(guest)
    db = Database(house.settings.database_url)
    with db.begin() as tx:
        tx.get_one(Backup, backup["id"]).volid = planter.backup(guest["vmid"], guest["node"])
    db.close()
    before = house.pve.mark()
    refused = member.post(f"{path}/backups/{backup['id']}/restore", {"as_new": as_new}, wait=60)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "policy.privileged_guest")
    assert [call for call in house.pve.writes(before) if call["path"].endswith("/lxc")] == []
    refused = member.post(f"{path}/backups", wait=60)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "policy.privileged_guest")
    assert planter.privileged_in(tenant["poolid"]) == [guest["vmid"]]
    member.done("DELETE", path)
    assert planter.privileged_in(tenant["poolid"]) == []


def test_l16_a_container_swapped_while_it_is_made_is_removed(
    house: House, planter: Planter, member: Caller, tenant: dict[str, Any]
) -> None:
    """Between PVE's word that it stands and our reading it back, an administrator puts a privileged one there."""
    usage = member.get(f"/tenants/{tenant['id']}").get_json()["usage"]
    token = f"{tenant['pve_user']}!poolhouse"
    with house.pve.fault(method="GET", path="/lxc/[0-9]+/config", user=token, kind="delay", seconds=3, count=1):
        accepted = member.post("/proxmox/cts", container(start=True)).get_json()
        made = member.get(f"/proxmox/cts/{accepted['guest']}").get_json()
        wait_for(lambda: made["vmid"] in house.pve.members(tenant["poolid"]))
        planter.replace(made)
        assert planter.privileged_in(tenant["poolid"]) == [made["vmid"]]
        ended = wait_for(lambda: _ended(member, accepted["id"]))
    assert (ended["state"], ended["error"]["code"]) == ("failed", "policy.privileged_guest")
    assert made["vmid"] not in house.pve.members(tenant["poolid"])
    assert made["vmid"] not in [row["vmid"] for row in house.pve.guests()]
    assert member.get(f"/tenants/{tenant['id']}").get_json()["usage"] == usage


def _ended(member: Caller, operation: str) -> dict[str, Any] | None:
    found: dict[str, Any] = member.get(f"/operations/{operation}").get_json()
    return found if found["finished_at"] else None


def test_l16_a_restore_over_a_guest_takes_the_archives_flag_and_is_not_run_by_us(
    house: House, planter: Planter, member: Caller, archive: str
) -> None:
    """The start waits for the restore, and looks again after it."""
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    with house.pve.fault(kind="task_slow", task="vzrestore", seconds=2):
        upid = house.pve.post(
            f"/nodes/{guest['node']}/lxc", vmid=guest["vmid"], ostemplate=archive, restore=1, force=1,
            storage="local-lvm", pool=guest["poolid"],
        )  # fmt: skip
        refused = member.post(f"/proxmox/cts/{guest['id']}/start", wait=60)
        planter.done(upid)
    assert planter.config(guest["vmid"], guest["node"]).get("unprivileged") != 1
    assert (refused.status_code, refused.get_json()["code"]) == (403, "policy.privileged_guest")
    assert planter.status(guest["vmid"], guest["node"]) == "stopped"
    wait_for(lambda: member.get(f"/proxmox/cts/{guest['id']}").get_json()["unprivileged"] is False)
    planter.done(house.pve.delete(f"/nodes/{guest['node']}/lxc/{guest['vmid']}"))


@pytest.mark.parametrize("action", ["start", "reboot"])
def test_l16_a_container_turned_privileged_is_not_run_by_us(
    planter: Planter, member: Caller, tenant: dict[str, Any], action: str
) -> None:
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    planter.replace(guest)
    if action == "reboot":
        planter.start(guest["vmid"], guest["node"])
    refused = member.post(f"/proxmox/cts/{guest['id']}/{action}", wait=30)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "policy.privileged_guest")
    assert member.get(f"/proxmox/cts/{guest['id']}").get_json()["unprivileged"] is False
    running = planter.status(guest["vmid"], guest["node"]) == "running"
    assert running is (action == "reboot")
    member.done("DELETE", f"/proxmox/cts/{guest['id']}?force=true")
    assert planter.privileged_in(tenant["poolid"]) == []
