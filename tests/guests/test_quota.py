"""Exact quota through the API."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.house import House, container, vm


def test_exceeding_is_refused_with_the_figures_that_refused(house: House) -> None:
    """L33."""
    tenant = house.make_tenant({"guests": 2, "cores": 3})
    member = house.make_member(tenant)
    member.done("POST", "/proxmox/cts", container(cores=2))
    refused = member.post("/proxmox/vms", vm(cores=2))
    assert refused.status_code == 403
    problem = refused.get_json()
    figures = {name: problem[name] for name in ("code", "dimension", "limit", "used", "requested")}
    assert figures == {"code": "quota.exceeded", "dimension": "cores", "limit": 3, "used": 2, "requested": 2}
    usage = member.get(f"/tenants/{tenant['id']}/usage").get_json()
    assert usage["allocated"]["guests"] == 1


def test_64_at_once_against_room_for_five_make_exactly_five(house: House) -> None:
    """L23."""
    tenant = house.make_tenant({"guests": 5})
    member = house.make_member(tenant)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: member.post("/proxmox/cts", container()).status_code, range(64)))
    assert sorted(set(answers)) == [202, 403]
    assert answers.count(202) == 5
    assert member.get(f"/tenants/{tenant['id']}").get_json()["usage"]["guests"] == 5


def test_a_limit_below_use_breaks_nothing_and_refuses_growth(house: House) -> None:
    """L31."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    lowered = house.admin().put(f"/tenants/{tenant['id']}/quota", {"guests": 0, "memory": 1})
    assert lowered.status_code == 200
    assert member.post("/proxmox/cts", container()).status_code == 403
    member.done("POST", f"/proxmox/cts/{guest['id']}/start")
    member.done("DELETE", f"/proxmox/cts/{guest['id']}?force=true")
    assert member.get(f"/tenants/{tenant['id']}").get_json()["usage"]["memory"] == 0


def test_running_is_counted_apart_and_claimed_by_start(house: House) -> None:
    """L35."""
    tenant = house.make_tenant({"running_cores": 1})
    member = house.make_member(tenant)
    one = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    two = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    member.done("POST", f"/proxmox/cts/{one['id']}/start")
    refused = member.post(f"/proxmox/cts/{two['id']}/start")
    assert refused.get_json()["dimension"] == "running_cores"
    member.done("POST", f"/proxmox/cts/{one['id']}/stop")
    member.done("POST", f"/proxmox/cts/{two['id']}/start")


def test_what_an_admin_makes_is_charged_to_the_tenant(house: House) -> None:
    """L30."""
    tenant = house.make_tenant({"guests": 1})
    admin = house.admin()
    admin.done("POST", "/proxmox/cts", container(tenant=tenant["id"]))
    assert admin.post("/proxmox/cts", container(poolid=tenant["poolid"])).get_json()["code"] == "quota.exceeded"


@pytest.mark.parametrize("limits", [{"guests": -1}, {"cores": 1.5}, {"memory": True}, {"disk_gb": "9"}, {"bogus": 1}])
def test_limits_are_whole_numbers_with_known_names(house: House, limits: dict[str, object]) -> None:
    """L25."""
    tenant = house.make_tenant()
    assert house.admin().put(f"/tenants/{tenant['id']}/quota", limits).status_code == 422


def test_a_users_own_limit_counts_within_the_tenant(house: House) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    user = member.get("/auth/me").get_json()["id"]
    put = house.admin().put(f"/tenants/{tenant['id']}/quota?user={user}", {"guests": 0})
    assert put.status_code == 200, put.get_data(as_text=True)
    assert member.post("/proxmox/cts", container()).get_json()["code"] == "quota.exceeded"
    assert house.make_member(tenant).post("/proxmox/cts", container()).status_code == 202


def test_a_users_own_limits_are_read_by_member_and_shown_where_they_bind(house: House) -> None:
    """`/auth/me` and the log-in show in each dimension the limit that would refuse him, and what counts against it."""
    tenant = house.make_tenant({"guests": 5, "cores": 8, "memory": 4096, "disk_gb": 100})
    other, member = house.make_member(tenant), house.make_member(tenant)
    user = member.get("/auth/me").get_json()["id"]
    own = {"guests": 2, "memory": 8192, "disk_gb": 100, "networks": 7}
    assert house.admin().put(f"/tenants/{tenant['id']}/quota?user={user}", own).status_code == 200
    for caller, sizes in ((other, {"cores": 2, "memory": 256}), (member, {"cores": 1, "memory": 128})):
        caller.done("POST", "/proxmox/cts", container(**sizes))

    shown = member.get("/auth/me").get_json()["quota"]
    limit = {name: shown["limit"][name] for name in ("guests", "cores", "memory", "disk_gb", "networks", "backups")}
    used = {name: shown["used"][name] for name in limit}
    assert limit == {"guests": 2, "cores": 8, "memory": 4096, "disk_gb": 100, "networks": 7, "backups": None}
    assert used == {"guests": 1, "cores": 3, "memory": 384, "disk_gb": 2, "networks": 1, "backups": 0}
    assert (shown["limit"]["vms"], shown["used"]["vms"], shown["limit"]["storage"]) == (2, 1, 100)
    assert other.get("/auth/me").get_json()["quota"]["limit"]["guests"] == 5

    nothing = dict.fromkeys(shown["limit"].keys() - {"vms", "cpu", "storage"})
    read = member.get(f"/tenants/{tenant['id']}/quota?user={user}").get_json()
    assert read == {**nothing, **own}
    assert member.get(f"/tenants/{tenant['id']}/quota").get_json()["guests"] == 5
    users = {row["user"]: row for row in member.get(f"/tenants/{tenant['id']}/usage").get_json()["users"]}
    assert users.pop(user)["quota"] == read
    assert [row["quota"] for row in users.values()] == [nothing]


def test_the_limits_of_who_is_no_member_are_not_there(house: House) -> None:
    tenant = house.make_tenant()
    stranger = house.make_member(house.make_tenant()).get("/auth/me").get_json()["id"]
    for user in (stranger, str(uuid.uuid4())):
        assert house.admin().get(f"/tenants/{tenant['id']}/quota?user={user}").status_code == 404
    assert house.admin().get(f"/tenants/{tenant['id']}/quota?user=x").status_code == 422
