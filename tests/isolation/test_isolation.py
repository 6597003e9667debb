"""Generated from the OpenAPI document: every operation by every kind of caller, every id swapped for a foreign one.

A new route is covered the moment it stands in the document. A path parameter is known by the segment before it; one
that is not known fails the test, so that nobody forgets to say what it is.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from app.api.openapi import document, document_app
from tests.house import Caller, House, container, vm

#: No log-in is needed here; a shorter list is welcome, a longer one is a decision (seams of the HTTP face).
PUBLIC = {("post", "/api/auth/login"), ("post", "/api/auth/refresh"), ("get", "/api/health"), ("get", "/api/ready")}
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    example: Any

    @property
    def writes(self) -> bool:
        return self.method != "get"

    @property
    def is_own(self) -> bool:
        """One's own log-in and password: whoever is logged in may change those."""
        return self.path.startswith("/api/auth/")

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def routes() -> list[Route]:
    described = document(document_app())
    return [
        Route(method, path, _example(operation))
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    ]


def _example(operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" in content:
        return content["example"]
    return next((one["value"] for one in content.get("examples", {}).values()), None)


ROUTES = routes()
GUARDED = [route for route in ROUTES if (route.method, route.path) not in PUBLIC]
WITH_IDS = [route for route in GUARDED if "{" in route.path]


@dataclass(frozen=True)
class Victim:
    """A tenant with one guest of each kind, and somebody else who wants to know about it."""

    tenant: dict[str, Any]
    owner: Caller
    ids: dict[str, str]
    stranger: Caller
    stranger_tenant: dict[str, Any]
    viewer: Caller


@pytest.fixture(scope="module")
def victim(house: House) -> Victim:
    tenant, other = house.make_tenant(), house.make_tenant()
    owner = house.make_member(tenant, "owner")
    ct = owner.done("POST", "/proxmox/cts", container())
    machine = owner.done("POST", "/proxmox/vms", vm())
    me = owner.get("/auth/me").get_json()
    ids = {
        "tenants": tenant["id"],
        "cts": ct["result"]["guest"]["id"],
        "vms": machine["result"]["guest"]["id"],
        "operations": ct["id"],
        "members": me["id"],
        "users": me["id"],
    }
    return Victim(tenant, owner, ids, house.make_member(other, "owner"), other, house.make_member(tenant, "viewer"))


def fill(path: str, ids: dict[str, str]) -> str:
    """The path with an id for each parameter, by the segment before it; without `/api`."""
    filled: list[str] = []
    for segment in path.removeprefix("/api").split("/"):
        filled.append(ids[filled[-1]] if segment.startswith("{") else segment)
    return "/".join(filled)


def missing_ids(victim: Victim) -> dict[str, str]:
    return {name: str(uuid.uuid4()) for name in victim.ids} | {"templates": str(uuid.uuid4())}


def known_ids(victim: Victim) -> dict[str, str]:
    return {"templates": str(uuid.uuid4()), **victim.ids}


def told(caller: Caller, route: Route, path: str) -> tuple[int, Any]:
    """Status and body, but for what names the request itself."""
    answer = caller.send(route.method.upper(), path, route.example)
    body = answer.get_json(silent=True)
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in ("instance", "request_id")}
    return answer.status_code, body


def writes(house: House, since: int) -> list[dict[str, Any]]:
    return [call for call in house.calls()[since:] if call["method"] != "GET"]


def picture(victim: Victim) -> str:
    """Everything of the victim that its owner can see."""
    seen = [
        victim.owner.get(f"/tenants/{victim.tenant['id']}").get_json(),
        victim.owner.get(f"/tenants/{victim.tenant['id']}/members").get_json(),
        victim.owner.get("/proxmox/cts").get_json()["data"],
        victim.owner.get("/proxmox/vms").get_json()["data"],
    ]
    for guest in (*seen[2], *seen[3]):
        guest.pop("observed_at")
    return json.dumps(seen, sort_keys=True)


def test_the_list_of_open_doors_is_exactly_this() -> None:
    """L1."""
    assert {(route.method, route.path) for route in ROUTES} >= PUBLIC
    assert len(PUBLIC) == 4


@pytest.mark.parametrize("route", GUARDED, ids=str)
@pytest.mark.parametrize("token", [None, "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."], ids=str)
def test_without_a_log_in_it_is_401(house: House, victim: Victim, route: Route, token: str | None) -> None:
    """L1, L63."""
    before = len(house.calls())
    caller = Caller(house.app.test_client(), token)
    status, body = told(caller, route, fill(route.path, known_ids(victim)))
    assert status == 401
    assert body["code"].startswith("auth.")
    assert writes(house, before) == []


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_after_log_out_it_is_401(house: House, victim: Victim, route: Route) -> None:
    """L62."""
    gone = house.make_member(victim.stranger_tenant, "viewer")
    assert gone.post("/auth/logout").status_code in (200, 204)
    status, _ = told(gone, route, fill(route.path, known_ids(victim)))
    assert status == 401


@pytest.mark.parametrize("route", WITH_IDS, ids=str)
def test_foreign_and_missing_look_the_same(house: House, victim: Victim, route: Route) -> None:
    """L3, L5, L18: and nothing is written, and the victim stays as it was."""
    before, was = len(house.calls()), picture(victim)
    foreign = told(victim.stranger, route, fill(route.path, known_ids(victim)))
    missing = told(victim.stranger, route, fill(route.path, missing_ids(victim)))
    assert foreign == missing
    assert foreign[0] in (403, 404)
    assert writes(house, before) == []
    assert picture(victim) == was


@pytest.mark.parametrize("route", WITH_IDS, ids=str)
@pytest.mark.parametrize("bad", ["100/../101", "..%2f..", "%00", "١٢٣٤", "-1", "99999999999999999999", "a" * 300])
def test_malformed_ids_are_refused(house: House, victim: Victim, route: Route, bad: str) -> None:
    """L77, L102: never 500, and never towards PVE."""
    before = len(house.calls())
    ids = dict.fromkeys([*victim.ids, "templates"], bad)
    status, _ = told(victim.owner, route, fill(route.path, ids))
    assert status in (403, 404, 405, 422)
    assert writes(house, before) == []


@pytest.mark.parametrize("route", [route for route in GUARDED if route.writes and not route.is_own], ids=str)
def test_a_viewer_changes_nothing(house: House, victim: Victim, route: Route) -> None:
    before, was = len(house.calls()), picture(victim)
    status, _ = told(victim.viewer, route, fill(route.path, known_ids(victim)))
    assert status in (403, 404, 422)
    assert writes(house, before) == []
    assert picture(victim) == was


@pytest.mark.parametrize("field", ["tenant", "poolid"])
@pytest.mark.parametrize("kind", ["cts", "vms"])
def test_a_foreign_tenant_in_a_body_looks_missing(house: House, victim: Victim, kind: str, field: str) -> None:
    """L4."""
    body = container() if kind == "cts" else vm()
    foreign = victim.tenant["id"] if field == "tenant" else victim.tenant["poolid"]
    answers = [victim.stranger.post(f"/proxmox/{kind}", {**body, field: value}) for value in (foreign, "no-such-one")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].get_json()["code"] == answers[1].get_json()["code"] == "not_found"


def test_a_foreign_pool_in_a_query_looks_missing(victim: Victim) -> None:
    for value in (victim.tenant["poolid"], "no-such-one"):
        assert victim.stranger.get(f"/proxmox/cts?poolid={value}").status_code == 404


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("cts", "template", "local:vztmpl/no-such.tar.zst"),
        ("cts", "template", "local-lvm:vm-100-disk-0"),
        ("cts", "template", "/etc/passwd"),
        ("cts", "storage", "no-such"),
        ("cts", "net", {"bridge": "vmbr1"}),
        ("vms", "iso", "local:iso/../../etc/passwd"),
        ("vms", "template", "9000"),
    ],
)
def test_what_is_not_granted_is_refused_with_its_field(
    house: House, victim: Victim, kind: str, field: str, value: Any
) -> None:
    """L4, L7, L14."""
    before = len(house.calls())
    body = container() if kind == "cts" else vm()
    answer = victim.stranger.post(f"/proxmox/{kind}", {**body, field: value})
    assert answer.status_code == 422, answer.get_data(as_text=True)
    assert field in answer.get_json()["errors"]
    assert writes(house, before) == []


def test_lists_and_events_hold_only_what_is_the_callers(victim: Victim) -> None:
    """L17."""
    for path in ("/proxmox/cts", "/proxmox/vms", "/operations", "/tenants"):
        found = victim.stranger.get(f"{path}?limit=1000").get_data(as_text=True)
        for secret in (victim.tenant["id"], victim.tenant["poolid"], victim.ids["cts"], victim.ids["vms"]):
            assert secret not in found
