"""Storages and their content through HTTP, as who sees them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from app.db import clusters
from app.db.models import Cluster, Storage
from app.db.session import Database
from app.domain.paging import PageRequest
from tests.api.test_errors import assert_problem
from tests.house import Caller, House, container, vm, wait_for

TEMPLATE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"


@pytest.fixture(scope="module")
def tenant(house: House) -> dict[str, Any]:
    return house.make_tenant(storages=["local", "local-lvm"])


@pytest.fixture(scope="module")
def guests(member: Caller) -> Mapping[str, dict[str, Any]]:
    bodies = {"cts": container(storage="local-lvm"), "vms": vm(storage="local-lvm")}
    return {kind: member.done("POST", f"/proxmox/{kind}", body)["result"]["guest"] for kind, body in bodies.items()}


def content_calls(house: House, mark: int) -> list[tuple[str, str]]:
    """(who, path) of what was asked about volumes; the worker asks for all contents at once, without a filter."""
    return [(call["user"], call["path"]) for call in house.pve.calls(mark) if "/content" in call["path"]]


def volids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return {row["volid"] for row in answer.get_json()["data"]}


# -- storages


def test_a_tenant_sees_the_storages_that_were_granted_to_it(house: House, tenant: dict[str, Any]) -> None:
    """L14."""
    narrow = house.make_tenant(storages=["local-lvm"])
    member = house.make_member(narrow, "viewer")
    mark = house.pve.mark()
    listed = member.get("/proxmox/storages").get_json()
    assert [row["id"] for row in listed["data"]] == ["local-lvm"]
    assert (listed["count"], listed["next"]) == (1, None)
    everything = house.admin().get("/proxmox/storages").get_json()
    assert {"local", "local-lvm"} <= {row["id"] for row in everything["data"]}
    as_tenant = house.admin().get(f"/proxmox/storages?tenant={narrow['id']}").get_json()
    one = member.get("/proxmox/storages/local-lvm").get_json()
    named = ("id", "cluster", "content", "shared", "available", "total")  # used and observed_at go on meanwhile
    shown = [[row[name] for name in named] for row in (*listed["data"], *as_tenant["data"], one)]
    assert shown == [shown[0]] * 3
    assert [call for call in house.pve.calls(mark) if narrow["pve_user"] in call["user"]] == []
    for name in ("local", "no-such", "a%2Fb"):
        for path in (f"/proxmox/storages/{name}", f"/proxmox/storages/{name}/content"):
            assert_problem(member.get(path), 404, "not_found")


def test_a_storage_is_the_sum_of_what_its_nodes_have(house: House) -> None:
    found = house.admin().get("/proxmox/storages/local-lvm").get_json()
    assert [place["node"] for place in found["nodes"]] == ["n1", "n2"]
    assert found["total"] == sum(place["total"] for place in found["nodes"]) > 0
    assert (found["cluster"], found["shared"], found["available"]) == ("lab", False, True)
    assert found["content"] == ["images", "rootdir"]


def test_storages_are_found_by_what_they_hold_and_listed_in_pages(member: Caller) -> None:
    assert [row["id"] for row in member.get("/proxmox/storages?content=iso").get_json()["data"]] == ["local"]
    assert [row["id"] for row in member.get("/proxmox/storages?content=rootdir").get_json()["data"]] == ["local-lvm"]
    first = member.get("/proxmox/storages?limit=1&sort=-name").get_json()
    then = member.get(f"/proxmox/storages?limit=1&sort=-name&cursor={first['next']}").get_json()
    assert [row["id"] for row in (*first["data"], *then["data"])] == ["local-lvm", "local"]
    for wrong in ("content=everything", "sort=total", "cluster=moon"):
        refused = assert_problem(member.get(f"/proxmox/storages?{wrong}"), 422, "validation.failed")
        assert list(refused["errors"]) == [wrong.partition("=")[0]]
    assert_problem(member.get("/proxmox/storages?tenant=somebody-else"), 404, "not_found")


def test_a_shared_storage_is_one_and_names_of_several_clusters_are_apart(database: Database) -> None:
    """L8."""
    ids = {}
    with database.begin() as tx:
        for name in ("east", "west"):
            ids[name] = str(uuid.uuid4())
            tx.add(Cluster(id=ids[name], name=name, url="", token_id="", secret=""))
            tx.flush()
            for node in ("n1", "n2"):
                facts = {"shared": True, "available": True, "content": ["iso"], "total": 100, "used": 30}
                tx.add(Storage(cluster_id=ids[name], node=node, name="san", **facts))
    with database.read() as tx:
        found = clusters.page_of_storages(tx, None, None, None, PageRequest())
        assert [(row.id, row.total, row.used, len(row.nodes)) for row in found.data] == [("san", 100, 30, 2)] * 2
        assert {row.cluster for row in found.data} == {"east", "west"}
        granted = {ids["west"]: frozenset(["san"]), ids["east"]: frozenset(["other"])}
        (only,) = clusters.page_of_storages(tx, granted, None, None, PageRequest()).data
        assert only.cluster == "west"
        assert {row.cluster_id for row in clusters.places_of(tx, granted, None, "san")} == {ids["west"]}
        assert clusters.places_of(tx, {}, None, "san") == []


# -- content


def test_a_tenant_sees_media_and_the_volumes_of_its_own_guests(
    house: House, tenant: dict[str, Any], member: Caller, guests: Mapping[str, dict[str, Any]]
) -> None:
    """L5, L7, L17: foreign numbers are never shown, whoever's they are."""
    neighbour = house.make_member(house.make_tenant())
    foreign = neighbour.done("POST", "/proxmox/cts", container(storage="local-lvm"))["result"]["guest"]
    mark = house.pve.mark()
    answer = member.get("/proxmox/storages/local-lvm/content")
    own = {f"local-lvm:vm-{guest['vmid']}-disk-0" for guest in guests.values()}
    assert volids(answer) == own
    assert str(foreign["vmid"]) not in answer.get_data(as_text=True)
    asked = [path for user, path in content_calls(house, mark) if user.startswith(tenant["pve_user"])]
    assert sorted(asked) == [f"/nodes/{node}/storage/local-lvm/content" for node in ("n1", "n2")], "one call per node"
    rows = {row["vmid"]: row for row in answer.get_json()["data"]}
    for kind, content in (("cts", "rootdir"), ("vms", "images")):
        row = rows[guests[kind]["vmid"]]
        assert (row["guest"], row["tenant"], row["content"]) == (guests[kind]["id"], tenant["id"], content)
        assert (row["size"], row["nodes"]) == (1 << 30, [guests[kind]["node"]])
    assert TEMPLATE in volids(member.get("/proxmox/storages/local/content"))
    assert volids(member.get("/proxmox/storages/local/content?content=backup")) == set()
    seen_by_all = volids(house.admin().get("/proxmox/storages/local-lvm/content?limit=1000"))
    assert {*own, f"local-lvm:vm-{foreign['vmid']}-disk-0"} <= seen_by_all
    assert volids(house.admin().get(f"/proxmox/storages/local-lvm/content?tenant={tenant['id']}")) == own


def test_what_pve_shows_too_much_is_left_out(
    house: House, tenant: dict[str, Any], member: Caller, guests: Mapping[str, dict[str, Any]]
) -> None:
    """The first lock alone: somebody gave the tenant's token the right to see everything."""
    mine = {f"local-lvm:vm-{guest['vmid']}-disk-0" for guest in guests.values()}
    neighbour = house.make_member(house.make_tenant())
    foreign = neighbour.done("POST", "/proxmox/cts", container(storage="local-lvm"))["result"]["guest"]
    right = {"path": "/vms", "roles": "PVEVMAdmin", "tokens": f"{tenant['pve_user']}!poolhouse"}
    both = {**right, "users": tenant["pve_user"]}
    house.pve.put("/access/acl", **both)
    try:
        answer = member.get("/proxmox/storages/local-lvm/content")
        assert volids(answer) == mine
        assert str(foreign["vmid"]) not in answer.get_data(as_text=True)
    finally:
        house.pve.put("/access/acl", delete=1, **both)


@pytest.fixture
def backup(house: House, guests: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Of the tenant's container, made behind our back."""
    guest = guests["cts"]
    before = {row["volid"] for row in house.pve.get(f"/nodes/{guest['node']}/storage/local/content?content=backup")}
    house.pve.post(f"/nodes/{guest['node']}/vzdump", vmid=guest["vmid"], storage="local")
    after = {row["volid"] for row in house.pve.get(f"/nodes/{guest['node']}/storage/local/content?content=backup")}
    (volid,) = after - before
    yield volid
    house.pve.delete(f"/nodes/{guest['node']}/storage/local/content/{volid}")


def test_a_backup_is_its_guest_s_tenant_s_alone(house: House, member: Caller, backup: str) -> None:
    assert backup in volids(member.get("/proxmox/storages/local/content?content=backup"))
    other = house.make_member(house.make_tenant())
    answer = other.get("/proxmox/storages/local/content")
    assert backup not in answer.get_data(as_text=True)


def test_content_is_listed_in_pages_by_name(member: Caller, guests: Mapping[str, dict[str, Any]]) -> None:
    path = "/proxmox/storages/local-lvm/content"
    whole = member.get(path).get_json()
    first = member.get(f"{path}?limit=1").get_json()
    then = member.get(f"{path}?limit=1&cursor={first['next']}").get_json()
    assert [*first["data"], *then["data"]] == whole["data"]
    assert (first["count"], then["next"]) == (2, None)
    assert [row["volid"] for row in whole["data"]] == sorted(row["volid"] for row in whole["data"])
    node = guests["cts"]["node"]
    assert all(row["nodes"] == [node] for row in member.get(f"{path}?node={node}").get_json()["data"])
    for wrong in ("node=n9", "content=snippets", "cursor=x%20y", "sort=size"):
        refused = assert_problem(member.get(f"{path}?{wrong}"), 422, "validation.failed")
        assert list(refused["errors"]) == [wrong.partition("=")[0]]


def test_a_node_that_is_away_is_told_and_not_left_out(house: House, member: Caller) -> None:
    """L43: a partial list never looks whole."""
    path = "/proxmox/storages/local-lvm/content"
    with house.pve.fault(kind="unreachable", path="/nodes/n2/storage/local-lvm/content"):
        assert_problem(member.get(path), 503, "pve.unreachable")
        assert member.get(f"{path}?node=n1").status_code == 200


def test_who_is_in_several_tenants_names_one_to_see_content(house: House, tenant: dict[str, Any]) -> None:
    other = house.make_tenant(storages=["local-lvm"])
    member = house.make_member(tenant, "viewer")
    username = member.get("/auth/me").get_json()["username"]
    house.admin().post(f"/tenants/{other['id']}/members", {"username": username, "role": "viewer"})
    path = "/proxmox/storages/local-lvm/content"
    assert list(assert_problem(member.get(path), 422, "validation.failed")["errors"]) == ["tenant"]
    assert member.get(f"{path}?tenant={other['id']}").get_json()["data"] == []
    assert len(volids(member.get(f"{path}?tenant={tenant['id']}"))) == 2
    assert_problem(member.get(f"/proxmox/storages/local/content?tenant={other['id']}"), 404, "not_found")
    assert [row["id"] for row in member.get("/proxmox/storages").get_json()["data"]] == ["local", "local-lvm"]


# -- and away again


def test_an_owner_deletes_archives_of_his_own_guests_and_nothing_else(house: House) -> None:
    """A7, L14, L17: ours with their row and charge, and one that was taken behind our back."""
    tenant = house.make_tenant(storages=["local", "local-lvm"])
    owner, operator = house.make_member(tenant, "owner"), house.make_member(tenant)
    stranger = house.make_member(house.make_tenant(storages=["local", "local-lvm"]), "owner")
    guest = owner.done("POST", "/proxmox/cts", container(storage="local-lvm"))["result"]["guest"]
    taken = owner.done("POST", f"/proxmox/cts/{guest['id']}/backups", {"storage": "local"})["result"]["backup"]
    house.pve.post(f"/nodes/{guest['node']}/vzdump", vmid=guest["vmid"], storage="local", compress="zstd")
    path = "/proxmox/storages/local/content"
    archives = wait_for(lambda: _several(volids(owner.get(f"{path}?content=backup"))))
    assert taken["volid"] in archives
    mark = house.pve.mark()
    for archive in archives:
        assert_problem(operator.delete(f"{path}/{archive}"), 403, "policy.forbidden")
        foreign = assert_problem(stranger.delete(f"{path}/{archive}"), 404, "not_found")
        missing = assert_problem(stranger.delete(f"{path}/{archive.replace('vzdump', 'vzdumps')}"), 404, "not_found")
        assert foreign["detail"] == missing["detail"]
    assert_problem(owner.delete(f"{path}/{TEMPLATE}"), 403, "policy.forbidden")
    disk = f"local-lvm:vm-{guest['vmid']}-disk-0"
    assert_problem(owner.delete(f"/proxmox/storages/local-lvm/content/{disk}"), 409, "volume.in_use")
    assert _frees(house, mark) == set()
    usage = f"/tenants/{tenant['id']}/usage"
    assert owner.get(usage).get_json()["allocated"]["backups"] == 1
    for archive in archives:
        owner.done("DELETE", f"{path}/{archive}")
    assert _frees(house, mark) == {f"{tenant['pve_user']}!poolhouse"}
    assert volids(owner.get(f"{path}?content=backup")) == set()
    assert owner.get(usage).get_json()["allocated"]["backups"] == 0
    assert owner.get(f"/proxmox/cts/{guest['id']}/backups").get_json()["data"] == []
    owner.done("DELETE", f"/proxmox/cts/{guest['id']}")


def _frees(house: House, mark: int) -> set[str]:
    """Who has freed archives and disks."""
    return {call["user"] for call in house.pve.writes(mark) if re.search(r"/content/.*(vzdump-lxc|disk)", call["path"])}


def _several(found: set[str]) -> set[str] | None:
    return found if len(found) == 2 else None
