"""Clusters and nodes through HTTP: who sees what, and what it costs PVE."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from app.db import clusters
from app.db.models import Cluster, Node, Storage, Tenant
from app.db.session import Database
from app.domain.access import EVERY_TENANT, TenantScope
from app.domain.errors import Invalid, NotFound
from app.domain.paging import PageRequest
from app.services.clusters import _disk
from tests.api.test_errors import assert_problem
from tests.house import Caller, House, container


def asked(house: House, mark: int, caller: str) -> list[str]:
    """What an identity asked of PVE since a mark, but for what the worker asks all the time."""
    rounds = ("/cluster/resources", "/tasks")
    return [
        call["path"].removeprefix("/api2/json")
        for call in house.pve.calls(mark)
        if caller in call["user"] and not call["path"].endswith(rounds)
    ]


@pytest.fixture(scope="module")
def member(house: House, tenant: dict[str, Any]) -> Caller:
    return house.make_member(tenant, "viewer")


# -- test


def test_a_test_of_the_cluster_tells_version_and_latency(house: House, tenant: dict[str, Any], member: Caller) -> None:
    for caller, identity in ((house.admin(), "root@pam!"), (member, tenant["pve_user"])):
        mark = house.pve.mark()
        answer = caller.get("/proxmox/test")
        assert answer.status_code == 200
        told = answer.get_json()
        assert (told["cluster"], told["version"].split(".")[0]) == ("lab", "9")
        assert told["latency_ms"] > 0
        assert asked(house, mark, identity) == ["/version"], "one call, under the caller's own credential"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "expired"}, 502, "pve.auth_failed"),
        ({"kind": "unreachable"}, 503, "pve.unreachable"),
    ],
)
def test_a_cluster_that_does_not_take_us_or_is_away_is_told_by_its_code(
    house: House, tenant: dict[str, Any], member: Caller, fault: dict[str, Any], status: int, code: str
) -> None:
    """L70."""
    with house.pve.fault(**fault, path="/version", user=tenant["pve_user"]):
        assert_problem(member.get("/proxmox/test"), status, code)
    assert member.get("/proxmox/test").status_code == 200


def test_a_cluster_that_is_not_there_is_named_as_the_wrong_field(house: House, member: Caller) -> None:
    for path in ("test", "cluster/summary", "nodes"):
        for caller in (member, house.admin()):
            refused = assert_problem(caller.get(f"/proxmox/{path}?cluster=elsewhere"), 422, "validation.failed")
            assert list(refused["errors"]) == ["cluster"]
            assert caller.get(f"/proxmox/{path}?cluster=lab").status_code == 200


# -- summary


def test_an_administrator_s_summary_is_the_whole_cluster_for_two_calls(house: House) -> None:
    mark = house.pve.mark()
    told = house.admin().get("/proxmox/cluster/summary").get_json()
    assert sorted(asked(house, mark, "root@pam!")) == ["/cluster/status", "/nodes"]
    state = house.pve.state()
    assert told["nodes"] == {"total": 2, "online": 2}
    assert told["cpu"]["total"] == sum(node["cpus"] for node in state["nodes"].values())
    assert 0 <= told["cpu"]["used"] <= told["cpu"]["total"]
    assert told["memory"]["total"] == sum(node["memory"] for node in state["nodes"].values()) >> 20
    assert 0 < told["disk"]["used"] < told["disk"]["total"]
    assert (told["quorate"], told["unreachable"]) == (True, None)
    assert told["guests"]["total"] == sum(told["guests"]["states"].values())
    assert told["guests"]["unmanaged"] > 0, "the demo's templates are no tenant's"


def test_a_member_s_summary_is_his_own_and_costs_pve_nothing(house: House) -> None:
    tenant = house.make_tenant()
    operator = house.make_member(tenant)
    operator.done("POST", "/proxmox/cts", container(start=True))
    operator.done("POST", "/proxmox/cts", container())
    mark = house.pve.mark()
    told = operator.get("/proxmox/cluster/summary").get_json()
    assert asked(house, mark, "@") == []
    assert told["guests"] == {"total": 2, "states": {"running": 1, "stopped": 1}, "unmanaged": None}
    assert (told["cpu"], told["memory"], told["disk"], told["quorate"]) == (None, None, None, None)
    assert told["nodes"] == {"total": 2, "online": 2}


def test_a_summary_of_a_cluster_that_is_away_is_what_was_last_seen(house: House) -> None:
    with house.pve.fault(kind="unreachable", path="/cluster/status"):
        told = house.admin().get("/proxmox/cluster/summary").get_json()
    assert (told["unreachable"], told["quorate"], told["cpu"]) == ("pve.unreachable", None, None)
    assert told["nodes"]["total"] == 2


def test_a_shared_storage_counts_once() -> None:
    gib = 1 << 30
    rows = [
        Storage(node=node, name=name, shared=name == "san", total=10 * gib, used=gib)
        for node in ("n1", "n2")
        for name in ("san", "local")
    ]
    found = _disk(rows)
    assert (found.total, found.used) == (30, 3)


# -- nodes


def test_nodes_are_listed_from_the_inventory(house: House, member: Caller) -> None:
    mark = house.pve.mark()
    seen, all_of_it = member.get("/proxmox/nodes").get_json(), house.admin().get("/proxmox/nodes").get_json()
    # the worker goes on looking at guests that others have left
    assert [path for path in asked(house, mark, "@") if not path.endswith("/config")] == []
    for listed in (seen, all_of_it):
        assert [row["name"] for row in listed["data"]] == ["n1", "n2"]
        assert (listed["count"], listed["next"]) == (2, None)
        assert all(row["online"] and row["cluster"] == "lab" and row["observed_at"] for row in listed["data"])
    assert all(row["memory"] is row["memory_used"] is row["cores"] is None for row in seen["data"])
    assert all(row["memory"] > row["memory_used"] > 0 for row in all_of_it["data"])
    first = house.admin().get("/proxmox/nodes?limit=1&sort=-name").get_json()
    then = house.admin().get(f"/proxmox/nodes?limit=1&sort=-name&cursor={first['next']}").get_json()
    assert [row["name"] for row in (*first["data"], *then["data"])] == ["n2", "n1"]
    assert_problem(member.get("/proxmox/nodes?sort=memory"), 422, "validation.failed")


@pytest.mark.parametrize("part", ["status", "version", "network", "services", "tasks"])
def test_what_a_node_tells_of_itself_is_one_call_for_administrators(house: House, member: Caller, part: str) -> None:
    mark = house.pve.mark()
    answer = house.admin().get(f"/proxmox/nodes/n2/{part}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    calls = [call["path"] for call in house.pve.calls(mark) if call["path"].endswith(f"/nodes/n2/{part}")]
    assert len(calls) == 1
    assert_problem(member.get(f"/proxmox/nodes/n2/{part}"), 403, "policy.forbidden")
    assert_problem(house.admin().get(f"/proxmox/nodes/n7/{part}"), 404, "not_found")
    assert_problem(house.admin().get(f"/proxmox/nodes/n%2F2/{part}"), 404, "not_found")


def test_a_node_s_parts_are_what_pve_says(house: House) -> None:
    admin, state = house.admin(), house.pve.state()
    status = admin.get("/proxmox/nodes/n1/status").get_json()
    assert status["memory_total"] == state["nodes"]["n1"]["memory"]
    assert status["cpus"] == state["nodes"]["n1"]["cpus"]
    assert len(status["loadavg"]) == 3
    assert admin.get("/proxmox/nodes/n1/version").get_json()["version"].startswith("9.")
    network = admin.get("/proxmox/nodes/n1/network").get_json()
    assert ("vmbr0", "bridge") in [(one["iface"], one["type"]) for one in network["data"]]
    services = admin.get("/proxmox/nodes/n1/services").get_json()
    assert {"name": "pveproxy", "description": "PVE API Proxy Server", "state": "running", "enabled": True} in services[
        "data"
    ]
    assert services["count"] == len(services["data"])


def test_a_node_s_tasks_are_paged_newest_first(house: House, tenant: dict[str, Any]) -> None:
    operator = house.make_member(tenant)
    guests = [operator.done("POST", "/proxmox/cts", container())["result"]["guest"] for _ in range(2)]
    node, admin = guests[0]["node"], house.admin()
    listed = admin.get(f"/proxmox/nodes/{node}/tasks?limit=500").get_json()
    made = [task for task in listed["data"] if task["subject"] == str(guests[0]["vmid"])]
    assert [(task["type"], task["status"], task["node"]) for task in made] == [("vzcreate", "OK", node)]
    assert made[0]["user"].startswith(f"{tenant['pve_user']}!")
    assert made[0]["ended_at"] >= made[0]["started_at"]
    moments = [task["started_at"] for task in listed["data"]]
    assert moments == sorted(moments, reverse=True)
    page = admin.get(f"/proxmox/nodes/{node}/tasks?limit=1").get_json()
    rest = admin.get(f"/proxmox/nodes/{node}/tasks?limit=1&cursor={page['next']}").get_json()
    assert page["count"] >= listed["count"] >= 1
    assert page["data"] != rest["data"]
    assert_problem(admin.get(f"/proxmox/nodes/{node}/tasks?cursor=x"), 422, "validation.failed")


def test_a_node_that_is_away_is_503_though_its_cluster_answers(house: House) -> None:
    """L75."""
    with house.pve.fault(kind="unreachable", path="/nodes/n2/version"):
        assert_problem(house.admin().get("/proxmox/nodes/n2/version"), 503, "pve.unreachable")
    assert house.admin().get("/proxmox/nodes/n1/version").status_code == 200


# -- several clusters


@pytest.fixture
def two_clusters(database: Database) -> tuple[Database, TenantScope]:
    """Two clusters with a node of the same name each, and a tenant in the second one."""
    own = str(uuid.uuid4())
    with database.begin() as tx:
        for name in ("east", "west"):
            cluster = Cluster(
                id=str(uuid.uuid4()), name=name, url="", token_id="", secret="", is_default=name == "east"
            )
            tx.add(cluster)
            tx.flush()
            tx.add(Node(cluster_id=cluster.id, name="n1", online=True, cores=4, memory=1 << 30, memory_used=0))
        tenant = Tenant(
            id=own, name="blue", canonical="blue", cluster_id=cluster.id, poolid="blue", pve_user="blue@pve",
            token_id="blue@pve!ph", state="active", comment="", storages=[], bridges=[],
        )  # fmt: skip
        tx.add(tenant)
    return database, TenantScope(frozenset([own]))


def test_a_cluster_without_a_tenant_of_mine_looks_missing(two_clusters: tuple[Database, TenantScope]) -> None:
    """L3, L8."""
    database, mine = two_clusters
    with database.read() as tx:
        assert clusters.find(tx, mine, None).name == "west", "not the house's default: there he has nothing"
        assert clusters.find(tx, mine, "west").name == "west"
        told = []
        for name in ("east", "no-such"):
            with pytest.raises(Invalid) as refused:
                clusters.find(tx, mine, name)
            told.append((refused.value.code, refused.value.members))
        assert told[0] == told[1]
        assert clusters.find(tx, EVERY_TENANT, None).name == "east"
        with pytest.raises(NotFound):
            clusters.find(tx, TenantScope(frozenset()), None)


def test_nodes_of_several_clusters_are_one_list_in_pages(two_clusters: tuple[Database, TenantScope]) -> None:
    database, mine = two_clusters
    with database.read() as tx:
        own = clusters.page_of_nodes(tx, mine, None, PageRequest(), with_sizes=True)
        assert [(node.name, node.cluster) for node in own.data] == [("n1", "west")]
        first = clusters.page_of_nodes(tx, EVERY_TENANT, None, PageRequest(limit=1), with_sizes=True)
        then = clusters.page_of_nodes(tx, EVERY_TENANT, None, PageRequest(1, first.next), with_sizes=True)
        assert sorted(node.cluster for node in (*first.data, *then.data)) == ["east", "west"]
        assert (first.count, then.next) == (2, None)
