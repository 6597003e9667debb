"""A tenant's walls, as PVE shows them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.house import House, container, wait_for


def walls(house: House, tenant: dict[str, Any]) -> dict[str, Any]:
    """Everything in PVE that belongs to a tenant."""
    return {
        "pools": [p for p in house.pve.get("/pools") if p["poolid"] == tenant["poolid"]],
        "users": [u for u in house.pve.get("/access/users") if u["userid"] == tenant["pve_user"]],
        "acl": {
            (a["path"], a["ugid"], a["roleid"])
            for a in house.pve.get("/access/acl")
            if a["ugid"].split("!")[0] == tenant["pve_user"]
        },
    }


def token_secret(house: House, tenant: dict[str, Any]) -> str:
    """Out of the lab's own memory: nobody else can know it."""
    found: str = house.pve.state()["users"][tenant["pve_user"]]["tokens"]["poolhouse"]["secret"]
    return found


NOTHING: dict[str, Any] = {"pools": [], "users": [], "acl": set()}


def test_a_tenant_gets_pool_user_token_and_rights_and_nothing_on_the_root(house: House) -> None:
    """L12."""
    tenant = house.make_tenant({"guests": 3})
    assert tenant["state"] == "active"
    assert tenant["quota"]["guests"] == 3
    assert tenant["quota"]["cores"] is None
    assert tenant["usage"]["guests"] == 0
    made = walls(house, tenant)
    assert len(made["pools"]) == 1
    assert len(made["users"]) == 1
    user, token = tenant["pve_user"], f"{tenant['pve_user']}!poolhouse"
    for who in (user, token):
        assert (f"/pool/{tenant['poolid']}", who, "PoolhouseGuest") in made["acl"]
        assert ("/storage/local-lvm", who, "PoolhouseStorage") in made["acl"]
        assert ("/sdn/zones/localnetwork/vmbr0", who, "PoolhouseNetwork") in made["acl"]
    assert not [path for path, _, _ in made["acl"] if path in ("/", "/vms", "/access")]
    tokens = house.pve.get(f"/access/users/{user}/token")
    assert [(t["tokenid"], t["privsep"]) for t in tokens] == [("poolhouse", 1)]


def test_the_token_is_sealed_in_the_database(house: House) -> None:
    """L65."""
    tenant = house.make_tenant()
    listed = house.admin().get(f"/tenants/{tenant['id']}").get_data(as_text=True)
    raw = b"".join(path.read_bytes() for path in house.state_dir.glob("poolhouse.db*"))
    assert "token" not in listed
    assert tenant["poolid"].encode() in raw
    secret = token_secret(house, tenant)
    assert secret
    assert secret.encode() not in raw


@pytest.mark.parametrize("spelling", ["{}", " {} ", "{}".upper(), "ＴＥＡＭ{}"])
def test_two_spellings_are_one_name(house: House, spelling: str) -> None:
    """L13, L57."""
    tail = uuid.uuid4().hex[:8]
    name = f"team{tail}"
    house.admin().done("POST", "/tenants", {"name": name})
    other = spelling.format(tail if "Ｔ" in spelling else name)
    again = house.admin().post("/tenants", {"name": other.upper() if spelling == "{}" else other})
    assert again.status_code == 409
    assert again.get_json()["code"] == "name.taken"


def test_a_refused_tenant_is_undone_whole(house: House) -> None:
    """A role that cannot be granted at the last step takes everything back."""
    before = (house.pve.get("/pools"), house.pve.get("/access/users"), house.pve.get("/access/acl"))
    with house.pve.fault(method="PUT", path="/access/acl", kind="refuse", status=500, text="acl is broken"):
        answer = house.admin().post("/tenants", {"name": f"doomed {uuid.uuid4().hex[:8]}"}, wait=30)
    assert answer.status_code == 502, answer.get_data(as_text=True)
    assert answer.get_json()["code"] == "pve.refused"
    after = (house.pve.get("/pools"), house.pve.get("/access/users"), house.pve.get("/access/acl"))
    assert after == before
    names = [t["name"] for t in house.admin().get("/tenants?limit=1000").get_json()["data"]]
    assert not [name for name in names if name.startswith("doomed")]


def test_a_lock_of_pve_is_waited_for(house: House) -> None:
    """L49: a busy user.cfg is no refusal."""
    text = "create pool failed: cfs-lock 'file-user_cfg' error: got lock request timeout"
    with house.pve.fault(method="POST", path="/pools", kind="refuse", status=500, text=text, count=1):
        tenant = house.make_tenant()
    assert tenant["state"] == "active"


def test_delete_leaves_nothing_but_the_shared_roles(house: House) -> None:
    tenant = house.make_tenant()
    house.admin().done("DELETE", f"/tenants/{tenant['id']}")
    assert walls(house, tenant) == NOTHING
    assert house.admin().get(f"/tenants/{tenant['id']}").status_code == 404


def test_delete_refuses_while_guests_exist_and_cascades_when_told(house: House) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = member.done("POST", "/proxmox/cts", container(start=True))["result"]["guest"]
    refused = house.admin().delete(f"/tenants/{tenant['id']}")
    assert refused.status_code == 409
    assert refused.get_json()["code"] == "tenant.not_empty"
    house.admin().done("DELETE", f"/tenants/{tenant['id']}?cascade=true")
    assert walls(house, tenant) == NOTHING
    assert guest["vmid"] not in [g["vmid"] for g in house.pve.get("/cluster/resources?type=vm")]
    assert member.get("/proxmox/cts").get_json()["data"] == []


def test_a_deletion_that_failed_with_its_walls_half_gone_opens_nothing_and_is_done_again(house: House) -> None:
    """Somebody's own VM in the pool keeps it from going; the tenant has no user any more by then."""
    tenant = house.make_tenant()
    house.pve.post("/nodes/n1/qemu", vmid=901, pool=tenant["poolid"])
    assert house.admin().delete(f"/tenants/{tenant['id']}", wait=60).status_code == 502
    assert house.admin().get(f"/tenants/{tenant['id']}").get_json()["state"] == "deleting"
    assert 901 in house.pve.members(tenant["poolid"])
    house.pve.delete("/nodes/n1/qemu/901")
    wait_for(lambda: 901 not in house.pve.members(tenant["poolid"]))
    house.admin().done("DELETE", f"/tenants/{tenant['id']}")
    assert walls(house, tenant) == NOTHING


def test_a_suspended_tenant_may_look_and_not_touch(house: House) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    changed = house.admin().patch(f"/tenants/{tenant['id']}", {"suspended": True})
    assert changed.status_code == 200
    assert changed.get_json()["suspended"] is True
    refused = member.post("/proxmox/cts", container())
    assert (refused.status_code, refused.get_json()["code"]) == (403, "tenant.suspended")
    assert member.get("/proxmox/cts").status_code == 200


def test_tenants_by_name_and_by_id(house: House) -> None:
    tenant = house.make_tenant()
    admin = house.admin()
    assert admin.get(f"/tenants/{tenant['name']}").get_json() == admin.get(f"/tenants/{tenant['id']}").get_json()


def test_a_dead_cluster_keeps_the_operation_waiting_not_lost(house: House) -> None:
    with house.pve.fault(path="/access/.*", kind="close"):
        accepted = house.admin().post("/tenants", {"name": f"patient {uuid.uuid4().hex[:8]}"})
        assert accepted.status_code == 202
        where = accepted.headers["Location"].removeprefix("/api")
        wait_for(lambda: house.admin().get(where).get_json()["state"] == "running")
    ended = wait_for(lambda: house.admin().get(where).get_json()["state"] in ("succeeded", "failed"), within=60)
    assert ended
    assert house.admin().get(where).get_json()["state"] == "succeeded"


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a/b", "a／b", "..", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "a" * 65, "a\tb", "Аcme", "acme\u200b",
        "\u202eemca",
    ],
)  # fmt: skip
def test_a_tenant_s_name_is_no_path_no_id_and_no_look_alike(house: House, name: str) -> None:
    before = house.pve.get("/pools")
    answer = house.admin().post("/tenants", {"name": name})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["name"])
    assert house.pve.get("/pools") == before


@pytest.mark.parametrize("name", ["аdmin", "admіn", "ad\u034fmin", "admin\u200b", "\u202enimda", "сосо"])
def test_a_user_s_name_is_no_look_alike(house: House, name: str) -> None:
    answer = house.admin().post("/users", {"username": name})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["username"])
