"""Bridges that no node of the cluster has are granted to nobody; what is not known yet is refused to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app import bootstrap
from app.db import clusters
from app.db.models import Node
from app.services.inventory import Inventory
from tests.house import Caller, House
from tests.lab.process import LabProcess


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One without a worker, which would look at its own time. One node has a bridge that the other has not."""
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("bridges"), lab)
    house.pve.post("/nodes/n2/network", iface="vmbr7", type="bridge")
    house.pve.put("/nodes/n2/network")
    yield house
    lab.stop()


@pytest.fixture(scope="module")
def inventory(house: House) -> Iterator[Inventory]:
    built = bootstrap.build(house.settings)
    yield Inventory(built.db, built.credentials)
    built.db.close()


@pytest.fixture
def admin(house: House) -> Caller:
    return house.admin()


def forget(house: House, node: str) -> None:
    built = bootstrap.build(house.settings)
    with built.db.begin() as tx:
        tx.get_one(Node, {"cluster_id": clusters.default(tx).id, "name": node}).bridges = None
    built.db.close()


def wrong(caller: Caller, path: str, body: dict[str, Any]) -> list[str]:
    """The fields that are refused. Nothing is made."""
    answer = caller.post(f"{path}?dry_run=true", body)
    assert answer.status_code in (200, 422), answer.get_json()
    return list(answer.get_json().get("errors", ()))


def test_one_call_a_node_tells_and_a_bridge_of_one_node_is_enough(
    house: House, admin: Caller, inventory: Inventory
) -> None:
    mark = house.pve.mark()
    inventory.refresh_bridges()
    asked = [(call["method"], call["path"]) for call in house.pve.calls(mark)]
    assert sorted(asked) == [("GET", f"/nodes/{node}/network") for node in ("n1", "n2")]
    mark = house.pve.mark()
    for path in ("/tenants", "/plans"):
        for named, fields in (("vmbr7", []), ("vmbr1", []), ("vmbr9", ["bridges"]), ("eth0", ["bridges"])):
            assert wrong(admin, path, {"name": "demo", "bridges": ["vmbr0", named]}) == fields, (path, named)
    assert wrong(admin, "/plans", {"name": "demo", "default_bridge": "vmbr9"}) == ["default_bridge"]
    assert wrong(admin, "/admin/groups", {"name": "demo", "default_network_bridge": "vmbr9"}) == [
        "default_network_bridge"
    ]
    assert house.pve.calls(mark) == [], "who asks for something waits for no node"


def test_what_is_not_known_is_refused_to_nobody(house: House, admin: Caller, inventory: Inventory) -> None:
    unknown = {"name": "demo", "bridges": ["vmbr9"]}
    with house.pve.fault(kind="unreachable", path="/nodes/n2/network"):
        inventory.refresh_bridges()
    assert wrong(admin, "/tenants", unknown) == ["bridges"], "the node is away, and what it has is known"
    forget(house, "n2")
    with house.pve.fault(kind="unreachable", path="/nodes/n2/network"):
        inventory.refresh_bridges()
    assert wrong(admin, "/tenants", unknown) == wrong(admin, "/plans", unknown) == []
    inventory.refresh()
    assert wrong(admin, "/tenants", unknown) == []
    inventory.refresh_bridges()
    assert wrong(admin, "/tenants", unknown) == wrong(admin, "/plans", unknown) == ["bridges"]


def test_a_plan_grants_what_the_cluster_has(house: House, admin: Caller, inventory: Inventory) -> None:
    forget(house, "n1")
    for name, bridges in (("both", ["vmbr0", "vmbr9"]), ("none of it", ["vmbr9"])):
        assert admin.post("/plans", {"name": name, "bridges": bridges}).status_code == 201
    inventory.refresh_bridges()
    made = admin.post("/tenants", {"name": "with both", "plan": "both"})
    assert made.status_code == 202
    assert admin.get("/tenants/with both").get_json()["bridges"] == ["vmbr0"]
    assert wrong(admin, "/tenants", {"name": "demo", "plan": "none of it"}) == ["plan"]
