"""Guests through HTTP, with lab and worker: what is described is what is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask

from app.api.schemas.guests import GuestConfigSchema, GuestSchema, GuestStatusSchema
from app.api.schemas.operations import OperationSchema
from app.api.schemas.tenants import TenantSchema
from app.db.session import Database
from tests.api.conftest import log_in
from tests.api.test_errors import assert_problem
from tests.db import records
from tests.house import PASSWORD, Caller, House, container, vm


def dumped(schema: type, document: dict[str, Any]) -> dict[str, Any]:
    """The document by way of its schema, which knows of no member too many and none too few."""
    loaded = schema().load(document)
    found: dict[str, Any] = schema().dump(loaded)
    return found


def test_hot_lists_are_what_their_schema_would_give(house: House) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    for kind, body in (("cts", container()), ("vms", vm(tags=["web"]))):
        operation = member.done("POST", f"/proxmox/{kind}", body)
        listed = member.get(f"/proxmox/{kind}").get_json()
        assert (listed["count"], listed["next"]) == (1, None)
        (row,) = listed["data"]
        assert dumped(GuestSchema, row) == row
        for ref in (row["id"], row["vmid"]):
            found = member.get(f"/proxmox/{kind}/{ref}").get_json()
            assert found | {"observed_at": row["observed_at"]} == row, "it may have been seen once more"
        assert set(operation) == set(OperationSchema().fields)
        status = member.get(f"/proxmox/{kind}/{row['id']}/status").get_json()
        assert dumped(GuestStatusSchema, status) == status


def test_a_tenant_is_the_same_in_its_operation_and_in_its_own_answer(house: House) -> None:
    tenant = house.make_tenant({"guests": 1})
    assert house.admin().get(f"/tenants/{tenant['id']}").get_json() == tenant
    assert dumped(TenantSchema, tenant) == tenant


def test_a_config_has_pve_s_digest_as_its_etag(house: House) -> None:
    """L79, the reading half."""
    member = house.make_member(house.make_tenant())
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    path = f"/proxmox/cts/{guest['id']}/config"
    answer = member.get(path)
    document = answer.get_json()
    assert dumped(GuestConfigSchema, document) == document
    assert answer.headers["ETag"] == f'"{document["digest"]}"'
    unchanged = member.get(path, If_None_Match=answer.headers["ETag"])
    assert (unchanged.status_code, unchanged.get_data()) == (304, b"")


def test_a_number_that_guests_of_two_clusters_have_names_neither(app: Flask, admin: Caller, tmp_path: Path) -> None:
    """L8: but for who sees one of them only."""
    db = Database(f"sqlite:///{tmp_path / 'poolhouse.db'}")
    user = admin.post("/users", {"username": "maria", "password": PASSWORD, "role": "user"}).get_json()["id"]
    with db.begin() as tx:
        own, other = (records.tenant(tx, records.cluster(tx, name), name) for name in ("east", "west"))
        wanted, rest = (records.guest(tx, tenant, 10_007, user=user).id for tenant in (own, other))
        records.guest(tx, other, 10_008, user=user)
    db.close()
    for method, path in (
        ("GET", "/proxmox/cts/10007"), ("DELETE", "/proxmox/cts/10007"), ("POST", "/proxmox/cts/10007/start"),
        ("GET", "/provisioning/resources/10007/snapshots"), ("POST", "/provisioning/resources/10007/start"),
    ):  # fmt: skip
        assert_problem(admin.send(method, path), 409, "guest.ambiguous")
    assert admin.get("/operations").get_json()["count"] == 0
    assert admin.get("/proxmox/cts/10008").status_code == 200
    assert {admin.get(f"/proxmox/cts/{guest}").status_code for guest in (wanted, rest)} == {200}
    assert admin.post(f"/tenants/{own.id}/members", {"username": "maria", "role": "operator"}).status_code == 201
    maria = log_in(app, "maria", PASSWORD)
    assert maria.get("/proxmox/cts/10007").get_json()["id"] == wanted
    assert maria.get("/provisioning/resources/10007/snapshots").status_code == 200
    assert_problem(maria.get("/proxmox/cts/10008"), 404, "not_found")


def test_the_other_kind_is_not_there(house: House) -> None:
    member = house.make_member(house.make_tenant())
    guest = member.done("POST", "/proxmox/cts", container())["result"]["guest"]
    for ref in (guest["id"], guest["vmid"]):
        assert_problem(member.get(f"/proxmox/vms/{ref}"), 404, "not_found")
