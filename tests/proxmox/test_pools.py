"""Pools through HTTP: members and use against quota, from our own rows."""

from __future__ import annotations

import uuid

from app.db import tenants
from app.db.models import Cluster, Tenant
from app.db.session import Database
from app.domain.access import EVERY_TENANT, TenantScope
from tests.api.test_errors import assert_problem
from tests.house import House, container, vm


def test_a_pool_has_its_members_and_its_use_against_the_quota(house: House) -> None:
    tenant = house.make_tenant({"guests": 5, "memory": 1000})
    member = house.make_member(tenant)
    ct = member.done("POST", "/proxmox/cts", container(start=True))["result"]["guest"]
    machine = member.done("POST", "/proxmox/vms", vm())["result"]["guest"]
    mark = house.pve.mark()
    pool = member.get(f"/proxmox/pools/{tenant['poolid']}").get_json()
    assert [call for call in house.pve.calls(mark) if tenant["pve_user"] in call["user"]] == []
    shown = ("id", "vmid", "kind", "name", "node", "state")
    assert pool["members"] == [{name: guest[name] for name in shown} for guest in (ct, machine)]
    assert {one["vmid"] for one in pool["members"]} == house.pve.members(tenant["poolid"])
    assert (pool["quota"]["guests"], pool["quota"]["cores"]) == (5, None)
    assert (pool["usage"]["guests"], pool["usage"]["memory"]) == (2, 256)
    assert (pool["tenant"], pool["name"], pool["cluster"]) == (tenant["id"], tenant["name"], "lab")
    assert member.get(f"/proxmox/pools/{tenant['poolid']}?cluster=lab").get_json() == pool
    assert_problem(member.get(f"/proxmox/pools/{tenant['poolid']}?cluster=moon"), 422, "validation.failed")


def test_pools_are_listed_in_pages_of_what_one_may_see(house: House) -> None:
    """L3, L17."""
    blue, red = house.make_tenant(), house.make_tenant()
    member = house.make_member(blue, "viewer")
    listed = member.get("/proxmox/pools").get_json()
    assert ([row["poolid"] for row in listed["data"]], listed["count"]) == ([blue["poolid"]], 1)
    everything = house.admin().get("/proxmox/pools?limit=1000").get_json()
    seen = [row["poolid"] for row in everything["data"]]
    assert {blue["poolid"], red["poolid"]} <= set(seen)
    assert seen == sorted(seen)
    assert "catalog" not in seen, "a pool that is no tenant's"
    first = house.admin().get("/proxmox/pools?limit=1&sort=-poolid").get_json()
    assert (first["data"][0]["poolid"], first["count"]) == (seen[-1], len(seen))
    for poolid in (red["poolid"], "no-such-pool", "catalog", "..%2f.."):
        assert_problem(member.get(f"/proxmox/pools/{poolid}"), 404, "not_found")


def test_a_pool_of_the_same_name_in_another_cluster_hides_nothing(database: Database) -> None:
    """L8."""
    with database.begin() as tx:
        made = []
        for name in ("east", "west"):
            cluster = Cluster(id=str(uuid.uuid4()), name=name, url="", token_id="", secret="")
            tx.add(cluster)
            tx.flush()
            row = Tenant(
                id=str(uuid.uuid4()), name=name, canonical=name, cluster_id=cluster.id, poolid="blue",
                pve_user="blue@pve", token_id="blue@pve!ph", state="active", comment="", storages=[], bridges=[],
            )  # fmt: skip
            tx.add(row)
            tx.flush()
            made.append((row.id, cluster.id))
        for tenant, cluster_id in made:
            assert tenants.find_by_pool(tx, TenantScope(frozenset([tenant])), "blue").id == tenant
            assert tenants.find_by_pool(tx, EVERY_TENANT, "blue", cluster_id).id == tenant
