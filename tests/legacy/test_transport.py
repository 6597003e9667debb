"""What the front end needs of every answer: CORS, `error` and `description`, and the members of log-in and health."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from tests.house import PASSWORD, Caller, House, container, wait_for

ORIGIN = "http://localhost:5173"
NO_LIMIT = 999_999_999
WORDS = ("vms", "cpu", "memory", "storage")


def opened(house: House, **settings: Any) -> Flask:
    return create_app(dataclasses.replace(house.settings, **settings))


def _fault(app: Flask) -> TestResponse:
    def broken() -> None:
        raise RuntimeError("SELECT 1")

    app.view_functions["api.HealthView"] = broken
    return app.test_client().get("/api/health", headers={"Origin": ORIGIN})


def _limited(house: House) -> TestResponse:
    client = opened(house, ratelimit_enabled=True, ratelimit_reads="1/day").test_client()
    return [client.get("/api/health", headers={"Origin": ORIGIN}) for _ in range(2)][-1]


def _typed(house: House, content_type: str, body: bytes) -> TestResponse:
    bearer = {"Origin": ORIGIN, "Authorization": f"Bearer {house.admin().token}"}
    return house.app.test_client().post("/api/users", headers=bearer, data=body, content_type=content_type)


REFUSALS: dict[int, Callable[[House], TestResponse]] = {
    400: lambda house: _typed(house, "application/json", b"{"),
    401: lambda house: house.anonymous().get("/users", Origin=ORIGIN),
    403: lambda house: house.make_member(house.make_tenant()).get("/users", Origin=ORIGIN),
    404: lambda house: house.admin().get("/no/such/path", Origin=ORIGIN),
    405: lambda house: house.admin().put("/users", Origin=ORIGIN),
    413: lambda house: _typed(house, "application/json", b'{"a": "' + b"x" * house.settings.max_body_bytes + b'"}'),
    415: lambda house: _typed(house, "text/plain", b"a"),
    422: lambda house: house.admin().post("/users", {"username": 1}, Origin=ORIGIN),
    429: _limited,
    500: lambda house: _fault(opened(house)),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_l67_a_browser_sees_status_and_sentence_of_every_refusal(house: House, status: int) -> None:
    answer = REFUSALS[status](house)
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in answer.headers["Vary"]
    told = answer.get_json()
    assert isinstance(told["error"], str)
    assert told["error"] == told["description"] == told["detail"] != ""


def test_the_quota_of_log_in_and_me_is_of_the_home_tenant_and_binds(house: House) -> None:
    """The first tenant that one became a member of, whatever the others are called; of two limits that which leaves
    less room."""
    mark = uuid.uuid4().hex[:8]
    home = house.make_tenant({"guests": 4, "cores": 8}, name=f"Zoo {mark}")
    member = house.make_member(home)
    me = member.get("/auth/me").get_json()
    other = house.make_tenant({"guests": 77}, name=f"Abc {mark}")
    house.admin().post(f"/tenants/{other['id']}/members", {"username": me["username"], "role": "viewer"})
    house.make_member(home).done("POST", "/proxmox/cts", container(cores=3))
    own = {"cores": 6, "guests": 2}
    house.admin().put(f"/tenants/{home['id']}/quota?user={me['id']}", own)
    told = house.anonymous().post("/auth/login", {"username": me["username"], "password": PASSWORD}).get_json()["user"]
    for quota in (told["quota"], member.get("/auth/me").get_json()["quota"]):
        assert all(type(quota[part][word]) is int for part in ("limit", "used") for word in WORDS)
        assert (quota["limit"]["vms"], quota["used"]["vms"]) == (2, 0), "his own leaves room for 2, the tenant's for 3"
        assert (quota["limit"]["cpu"], quota["used"]["cpu"]) == (8, 3), "the tenant's leaves 5, his own 6"
        assert quota["limit"]["memory"] == quota["limit"]["storage"] == NO_LIMIT
    assert (told["is_admin"], told["email"]) == (False, "")


def test_who_is_in_no_tenant_has_zeros(house: House) -> None:
    quota = house.admin().get("/auth/me").get_json()["quota"]
    assert quota == {part: dict.fromkeys(WORDS, 0) for part in ("limit", "used")}


def test_health_is_always_200_and_tells_what_was_last_seen(house: House) -> None:
    for caller in (house.anonymous(), Caller(house.app.test_client(), "nonsense"), house.admin()):
        answer = caller.get("/health")
        assert answer.status_code == 200
        told = answer.get_json()
        assert told.pop("server_time").endswith("Z")
        assert told == {"status": "online", "database": "connected", "proxmox": "connected", "details": {}}


def test_health_with_pve_away_is_unstable_and_names_no_host(house: House) -> None:
    mark = house.pve.mark()
    with house.pve.fault(kind="close", path="/cluster/resources"):
        told = wait_for(lambda: away(house), every=0.2)
    assert (told["status"], told["database"], told["proxmox"]) == ("unstable", "connected", "disconnected")
    assert told["details"] == {"proxmox_error": "pve.unreachable: the cluster does not answer"}
    wait_for(lambda: house.anonymous().get("/health").get_json()["status"] == "online", every=0.2)
    assert house.pve.writes(mark) == []


def away(house: House) -> Any:
    told = house.anonymous().get("/health").get_json()
    return told if told["proxmox"] == "disconnected" else None


def test_health_without_a_database_is_200(house: House) -> None:
    app = opened(house, database_url="postgresql://nobody@127.0.0.1:1/nothing")
    answer = app.test_client().get("/api/health")
    assert answer.status_code == 200
    told = answer.get_json()
    assert (told["status"], told["database"], told["proxmox"]) == ("unstable", "disconnected", "unknown")
    assert told["details"] == {"db_error": "database.unavailable: the database does not answer"}
