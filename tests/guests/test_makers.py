"""Whose guests are: nobody's, never; of who leaves, somebody else's or still his."""

from __future__ import annotations

from typing import Any

import pytest

from app.db.models import Tenant
from app.db.session import Database
from app.domain.errors import Conflict
from tests.db import records
from tests.house import Caller, House, container


def identity(caller: Caller) -> str:
    found: str = caller.get("/auth/me").get_json()["id"]
    return found


def usage(house: House, tenant: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Username -> row; their sum is what the tenant has, in every dimension."""
    found = house.admin().get(f"/tenants/{tenant['id']}/usage").get_json()
    for dimension, amount in found["allocated"].items():
        assert sum(row["allocated"][dimension] for row in found["users"]) == amount, dimension
    return {row["user"]: row for row in found["users"]}


def test_a_user_who_has_guests_is_deleted_only_when_somebody_takes_them(house: House) -> None:
    one, two = house.make_tenant({"guests": 3}), house.make_tenant()
    leaving, taker = house.make_member(one), house.make_member(one)
    admin = house.admin()
    user, to = identity(leaving), identity(taker)
    leaver, name = (who.get("/auth/me").get_json()["username"] for who in (leaving, taker))
    admin.post(f"/tenants/{two['id']}/members", {"username": leaver, "role": "operator"})
    made = [
        leaving.done("POST", "/proxmox/cts", container(tenant=tenant["id"]))["result"]["guest"]
        for tenant in (one, one, two)
    ]
    refused = admin.delete(f"/users/{user}")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "user.has_guests")
    assert refused.get_json()["guests"] == 3
    assert "transfer_to" in refused.get_json()["remedy"]

    for wrong in (to, user, "nobody-of-this-name"):
        answer = admin.delete(f"/users/{user}?transfer_to={wrong}")
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["transfer_to"]), wrong
    assert usage(house, one)[user]["allocated"]["guests"] == 2, "nothing of it was done"

    admin.post(f"/tenants/{two['id']}/members", {"username": name, "role": "viewer"})
    admin.put(f"/tenants/{one['id']}/quota?user={to}", {"guests": 1})
    assert admin.delete(f"/users/{user}?transfer_to={name}").status_code == 204
    assert admin.get(f"/users/{user}").status_code == 404
    for tenant, count in ((one, 2), (two, 1)):
        rows = usage(house, tenant)
        assert list(rows) == [to]
        assert rows[to]["allocated"]["guests"] == count
    assert taker.post("/proxmox/cts", container(tenant=one["id"])).get_json()["code"] == "quota.exceeded"
    taker.done("DELETE", f"/proxmox/cts/{made[0]['id']}")
    assert usage(house, one)[to]["allocated"]["guests"] == 1


def test_guests_of_a_member_who_is_taken_out_stay_and_stay_counted(house: House) -> None:
    tenant = house.make_tenant()
    leaving, staying = house.make_member(tenant), house.make_member(tenant, "owner")
    guests = [who.done("POST", "/proxmox/cts", container())["result"]["guest"] for who in (leaving, staying)]
    user = identity(leaving)
    assert staying.delete(f"/tenants/{tenant['id']}/members/{user}").status_code == 204
    rows = usage(house, tenant)
    assert {row["role"] for row in rows.values()} == {None, "owner"}
    assert rows[user]["role"] is None
    assert leaving.get(f"/proxmox/cts/{guests[0]['id']}").status_code == 404
    staying.done("DELETE", f"/proxmox/cts/{guests[0]['id']}")
    assert list(usage(house, tenant)) == [identity(staying)]
    assert house.admin().delete(f"/users/{user}").status_code == 204


def test_no_race_leaves_a_guest_that_is_nobodys(house: House) -> None:
    """Whoever counted the guests of a user and then deletes him is refused by the database where one came since."""
    tenant = house.make_tenant()
    db = Database(house.settings.database_url)
    with pytest.raises(Conflict), db.begin() as tx:
        records.charged_guest(tx, tx.get_one(Tenant, tenant["id"]), range(19_000, 19_100), user=records.new_id())
    db.close()
