"""Backups by the clock: begun by a worker with their maker's rights, counted like any other, the oldest going."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.db.models import BackupSchedule
from app.db.session import Database
from tests.guests.test_backups import archives, shown
from tests.guests.test_change import KINDS, allocated, make
from tests.house import Caller, House, wait_for


def path_of(kind: str, guest: dict[str, Any], schedule: dict[str, Any] | None = None) -> str:
    return f"/proxmox/{kind}/{guest['id']}/backup-schedules" + (f"/{schedule['id']}" if schedule else "")


def make_due(house: House, schedule: dict[str, Any]) -> None:
    db = Database(house.settings.database_url)
    past = datetime.now(UTC) - timedelta(minutes=5)
    with db.begin() as tx:
        tx.execute(sa.update(BackupSchedule).where(BackupSchedule.id == schedule["id"]).values(next_at=past))
    db.close()


def come(house: House, caller: Caller, kind: str, guest: dict[str, Any], schedule: dict[str, Any]) -> dict[str, Any]:
    """Its moment is there; the schedule once it has come."""
    path = path_of(kind, guest, schedule)
    before = caller.get(path).get_json()["last_at"]
    make_due(house, schedule)

    def passed() -> dict[str, Any] | None:
        found: dict[str, Any] = caller.get(path).get_json()
        return found if found["last_at"] != before else None

    found: dict[str, Any] = wait_for(passed)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_takes_backups_and_keeps_the_newest(house: House, kind: str) -> None:
    tenant = house.make_tenant({"backups": 3})
    member = house.make_member(tenant)
    guest = make(member, kind)
    by_hand = member.done("POST", f"/proxmox/{kind}/{guest['id']}/backups")["result"]["backup"]
    answer = member.post(path_of(kind, guest), {"at": "02:30", "days": ["mon", "fri"], "keep": 1, "notes": "nightly"})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    schedule = answer.get_json()
    assert (schedule["keep"], schedule["last_at"], schedule["next_at"][11:16]) == (1, None, "02:30")
    assert member.get(path_of(kind, guest)).get_json()["data"] == [schedule]

    def taken() -> list[dict[str, Any]]:
        rows = [one for one in shown(member, kind, guest) if one["schedule"] == schedule["id"]]
        return rows if rows and all(one["state"] == "ready" for one in rows) else []

    mark = house.pve.mark()
    came = come(house, member, kind, guest, schedule)
    assert came["last_error"] is None
    assert came["next_at"] > came["last_at"]
    (first,) = wait_for(taken)
    assert first["notes"] == "nightly"
    asked = [call["user"] for call in house.pve.writes(mark) if call["path"].endswith("/vzdump")]
    assert asked == [f"{tenant['pve_user']}!poolhouse"], "with the tenant's own token"
    come(house, member, kind, guest, schedule)
    (second,) = wait_for(lambda: [one for one in taken() if one["id"] != first["id"] and len(taken()) == 1])
    wait_for(lambda: archives(house, guest).keys() == {by_hand["volid"], second["volid"]})
    wait_for(lambda: allocated(member, tenant)["backups"] == 2)

    house.admin().put(f"/tenants/{tenant['id']}/quota", {"backups": 2})
    assert come(house, member, kind, guest, schedule)["last_error"] == "quota.exceeded"
    changed = member.put(path_of(kind, guest, schedule), {"at": "03:00"})
    assert (changed.status_code, changed.get_json()["days"][0], changed.get_json()["keep"]) == (200, "mon", 7)
    assert member.delete(path_of(kind, guest, schedule)).status_code == 204
    assert member.get(path_of(kind, guest, schedule)).status_code == 404
    assert archives(house, guest).keys() == {by_hand["volid"], second["volid"]}


def test_a_schedule_has_its_makers_rights_as_they_are_when_it_comes(house: House) -> None:
    tenant = house.make_tenant()
    leaving, staying = house.make_member(tenant), house.make_member(tenant, "owner")
    guest = make(staying, "cts")
    schedule = leaving.post(path_of("cts", guest), {"at": "00:00"}).get_json()
    user = leaving.get("/auth/me").get_json()
    assert schedule["maker"] == user["username"]
    assert staying.delete(f"/tenants/{tenant['id']}/members/{user['id']}").status_code == 204
    assert come(house, staying, "cts", guest, schedule)["last_error"] == "not_found"
    assert shown(staying, "cts", guest) == []
    taken_over = staying.put(path_of("cts", guest, schedule), {"at": "00:00"}).get_json()
    assert taken_over["maker"] == staying.get("/auth/me").get_json()["username"]
    assert come(house, staying, "cts", guest, schedule)["last_error"] is None
    wait_for(lambda: [one["state"] for one in shown(staying, "cts", guest)] == ["ready"])
    other = make(staying, "cts")
    assert staying.get(path_of("cts", other, schedule)).status_code == 404, "it is its guest's alone"


def test_what_makes_no_schedule_is_named(house: House) -> None:
    member = house.make_member(house.make_tenant())
    guest = make(member, "vms")
    for body, field in (
        ({}, "at"), ({"at": "24:00"}, "at"), ({"at": "2:30"}, "at"), ({"at": "02:30\n"}, "at"), ({"at": 230}, "at"),
        ({"at": "02:30", "days": []}, "days"), ({"at": "02:30", "days": ["today"]}, "days"),
        ({"at": "02:30", "keep": 0}, "keep"), ({"at": "02:30", "storage": "local-lvm"}, "storage"),
        ({"at": "02:30", "notes": "{{vmid}}"}, "notes"), ({"at": "02:30", "next_at": "now"}, "next_at"),
    ):  # fmt: skip
        answer = member.post(path_of("vms", guest), body)
        assert (answer.status_code, field in answer.get_json()["errors"]) == (422, True), body
    for _ in range(10):
        assert member.post(path_of("vms", guest), {"at": "02:30"}).status_code == 201
    refused = member.post(path_of("vms", guest), {"at": "02:30"})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "backup.schedules")
