"""L16: privileged containers that somebody brings into a tenant's pool: told, marked, and stopped where wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import House, container, wait_for
from tests.lab.process import LabProcess
from tests.privilege.planting import Planter, audit, rounds


@pytest.fixture(scope="module")
def planter(house: House) -> Planter:
    return Planter(house)


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that stops what is privileged; few containers, all of them young."""
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("stopping"), lab, POOLHOUSE_STOP_PRIVILEGED="1")
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


def said(house: House) -> str:
    """What the workers have logged."""
    return "".join(path.read_text() for path in house.state_dir.glob("*.log"))


def config_reads(house: House, vmid: int) -> int:
    return sum(call["path"].endswith(f"/lxc/{vmid}/config") for call in house.calls() if call["method"] == "GET")


def test_l16_a_privileged_container_moved_into_a_pool_is_told_once_and_runs_on(house: House, planter: Planter) -> None:
    tenant, other = house.make_tenant(), house.make_tenant()
    vmid = planter.container(hostname="stray")
    planter.move_in(vmid, tenant["poolid"])
    (row,) = wait_for(lambda: audit(house, "ct.privileged", tenant["id"]))
    assert (row.actor, row.result, row.guest_id) == ("poolhouse", "alert", None)
    assert row.subject == f"stray (ct {vmid} on n1 of lab)"
    assert f'"vmid": {vmid}' in said(house)
    assert '"event": "guest.privileged"' in said(house)

    looked = config_reads(house, vmid)
    planter.start(vmid)
    wait_for(lambda: config_reads(house, vmid) > looked)
    rounds(house, 2)
    assert len(audit(house, "ct.privileged", tenant["id"])) == 1, "it is news once"
    assert planter.status(vmid) == "running", "without the setting it is only reported"
    member = house.make_member(tenant)
    assert member.get("/proxmox/cts").get_json()["count"] == 0
    assert member.get(f"/proxmox/cts/{vmid}").status_code == 404

    planter.move_in(vmid, other["poolid"])
    assert wait_for(lambda: audit(house, "ct.privileged", other["id"])), "to another tenant it is news again"


def test_l16_a_guest_that_was_made_privileged_behind_our_back_is_marked(house: House, planter: Planter) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    path = f"/proxmox/cts/{guest['id']}"
    assert member.get(path).get_json()["unprivileged"] is True
    assert member.get("/proxmox/cts?unprivileged=false").get_json()["data"] == []
    planter.replace(guest, start=1)
    wait_for(lambda: member.get(path).get_json()["unprivileged"] is False)
    (listed,) = house.admin().get(f"/proxmox/cts?poolid={tenant['poolid']}&unprivileged=false").get_json()["data"]
    assert listed == {**member.get(path).get_json(), "observed_at": listed["observed_at"]}
    (row,) = audit(house, "ct.privileged", tenant["id"])
    assert row.guest_id == guest["id"]
    member.done("DELETE", f"{path}?force=true")
    assert planter.privileged_in(tenant["poolid"]) == []


def test_l16_one_that_cannot_be_read_is_looked_at_again(house: House, planter: Planter) -> None:
    tenant = house.make_tenant()
    vmid = planter.container(hostname="silent")
    with house.pve.fault(
        method="GET", path=f"/lxc/{vmid}/config", user="root@pam!", kind="refuse", status=500, text="no", count=2
    ):
        planter.move_in(vmid, tenant["poolid"])
        assert wait_for(lambda: audit(house, "ct.privileged", tenant["id"]))
    assert '"event": "stray.unseen"' in said(house)
    house.pve.delete(f"/nodes/n1/lxc/{vmid}")


def test_l16_a_restart_between_two_readings_is_looked_into(house: House, planter: Planter) -> None:
    """Running before and running after: only its uptime tells that it may be another one now."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = member.done("POST", "/proxmox/cts", container(start=True))["result"]["guest"]
    rounds(house, 3)
    looked = config_reads(house, guest["vmid"])
    base = f"/nodes/{guest['node']}/lxc/{guest['vmid']}/status"
    planter.done(house.pve.post(f"{base}/stop"))
    planter.done(house.pve.post(f"{base}/start"))
    wait_for(lambda: config_reads(house, guest["vmid"]) > looked)


def test_a_containers_config_is_read_once_and_not_each_round(stopping: House) -> None:
    """L112: what a listing tells costs nothing more."""
    member = stopping.make_member(stopping.make_tenant())
    made: list[dict[str, Any]] = [member.done("POST", "/proxmox/cts", container())["result"]["guest"] for _ in range(3)]
    rounds(stopping, 3)
    before = len(stopping.calls())
    rounds(stopping, 3)
    since = [call["path"] for call in stopping.calls()[before:]]
    assert [path for path in since if path.endswith("/config")] == []
    assert made


def test_l16_what_runs_privileged_is_stopped_where_that_is_wanted(stopping: House) -> None:
    """With the tenant's own token; unprivileged neighbours run on."""
    planter, tenant = Planter(stopping), stopping.make_tenant()
    member = stopping.make_member(tenant)
    good = member.done("POST", "/proxmox/cts", container(start=True))["result"]["guest"]
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    planter.replace(guest, start=1)
    stray = planter.container(hostname="stray", start=1)
    planter.move_in(stray, tenant["poolid"])
    wait_for(lambda: len(audit(stopping, "ct.stop", tenant["id"])) == 2)
    wait_for(lambda: planter.status(stray) == planter.status(guest["vmid"], guest["node"]) == "stopped")
    paths = (f"/lxc/{stray}/status/stop", f"/lxc/{guest['vmid']}/status/stop")
    stops = [call for call in stopping.calls() if call["path"].endswith(paths)]
    assert {call["user"] for call in stops} == {f"{tenant['pve_user']}!poolhouse"}
    wait_for(lambda: member.get(f"/proxmox/cts/{guest['id']}").get_json()["state"] == "stopped")
    assert planter.status(good["vmid"], good["node"]) == "running"

    planter.start(stray)
    wait_for(lambda: planter.status(stray) == "stopped")
    wait_for(lambda: len(audit(stopping, "ct.stop", tenant["id"])) == 3)
    assert len(audit(stopping, "ct.privileged", tenant["id"])) == 2
