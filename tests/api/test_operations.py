"""Operations through HTTP: accepted, followed, waited for, repeated. No worker runs: what it would write is written
into the same tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.db import operations as rows
from app.db.models import Cluster, Operation
from app.db.session import Database
from app.domain.operations import OperationState
from tests.api.conftest import Opener, log_in
from tests.api.test_errors import assert_problem
from tests.house import Caller

TENANT = {"name": "demo", "quota": {"guests": 2}, "storages": []}
End = Callable[..., None]


@pytest.fixture
def db(app: Flask, tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path / 'poolhouse.db'}")
    with found.begin() as tx:
        tx.add(
            Cluster(
                id="11111111-1111-4111-8111-111111111111", name="lab", url="https://127.0.0.1:1", ca_pem=None,
                fingerprint=None, token_id="root@pam!poolhouse", secret="sealed", is_default=True,
            )
        )  # fmt: skip
    yield found
    found.close()


@pytest.fixture
def end(db: Database) -> End:
    """Ends an operation as the worker does."""

    def ended(operation: str, state: OperationState, error: dict[str, Any] | None = None) -> None:
        with db.begin() as tx:
            row = tx.get_one(Operation, operation)
            row.error = error
            rows.finish(row, state, result={"tenant": {"id": row.tenant_id}} if error is None else None)

    return ended


def test_accepted_with_its_address(admin: Caller, db: Database) -> None:
    answer = admin.post("/tenants", TENANT)
    operation = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/operations/{operation['id']}"
    assert (operation["type"], operation["state"]) == ("tenant.create", "pending")
    assert operation["created_at"].endswith(("Z", "+00:00"))
    assert operation["error"] is None
    assert admin.get(answer.headers["Location"].removeprefix("/api")).get_json() == operation
    assert admin.get("/tenants/demo").get_json()["id"] == operation["tenant"], "L121: in the next read"


def test_waiting_ends_when_the_time_is_over(admin: Caller, db: Database) -> None:
    began = time.monotonic()
    answer = admin.post("/tenants", TENANT, wait=1)
    assert 0.9 < time.monotonic() - began < 5
    assert (answer.status_code, answer.get_json()["state"]) == (202, "pending")
    assert answer.headers["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize("wish", ["wait", "wait=", "wait=-1", "wait=soon", "respond-async", "awaited=5", "wait=1.5"])
def test_a_preference_that_is_not_understood_is_none(admin: Caller, db: Database, wish: str) -> None:
    answer = admin.post("/tenants", TENANT, Prefer=wish)
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


def test_waiting_gives_the_end(admin: Caller, db: Database, end: End) -> None:
    first = admin.post("/tenants", TENANT, Idempotency_Key="k1").get_json()
    end(first["id"], OperationState.SUCCEEDED)
    answer = admin.post("/tenants", TENANT, Idempotency_Key="k1", Prefer="respond-async, wait=60")
    assert (answer.status_code, answer.get_json()["state"]) == (200, "succeeded")
    assert answer.get_json()["result"]["tenant"]["id"] == first["tenant"]
    assert answer.headers["Location"] == f"/api/operations/{first['id']}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "pve.task_failed", "title": "t", "detail": "The task failed.", "remedy": "Look."}, 502),
        ({"code": "pve.timeout", "title": "t", "detail": "Too slow."}, 504),
        ({"code": "capacity.exceeded", "title": "t", "detail": "Full."}, 507),
    ],
)
def test_an_operation_that_failed_is_a_problem_for_who_waits(
    admin: Caller, db: Database, end: End, error: dict[str, Any], status: int
) -> None:
    first = admin.post("/tenants", TENANT, Idempotency_Key="k1").get_json()
    end(first["id"], OperationState.FAILED, error)
    answer = admin.post("/tenants", TENANT, Idempotency_Key="k1", wait=60)
    document = assert_problem(answer, status, error["code"])
    assert document["detail"] == error["detail"]
    assert document.get("remedy") == error.get("remedy")
    assert answer.headers["Location"] == f"/api/operations/{first['id']}"
    shown = admin.get(f"/operations/{first['id']}").get_json()["error"]
    assert (shown["status"], shown["code"], shown["type"]) == (status, error["code"], "about:blank")


def test_a_cancelled_one_is_a_problem_too(admin: Caller, db: Database, end: End) -> None:
    first = admin.post("/tenants", TENANT, Idempotency_Key="k1").get_json()
    end(first["id"], OperationState.CANCELLED, {"code": "operation.cancelled", "title": "t", "detail": "Cancelled."})
    assert_problem(admin.post("/tenants", TENANT, Idempotency_Key="k1", wait=5), 409, "operation.cancelled")


def test_l50_the_same_key_makes_one_operation(admin: Caller, db: Database, end: End) -> None:
    """Also when the first one has ended, and its answer is the operation as it is now."""
    first = admin.post("/tenants", TENANT, Idempotency_Key="k1")
    assert admin.post("/tenants", TENANT, Idempotency_Key="k1").get_json() == first.get_json()
    end(first.get_json()["id"], OperationState.SUCCEEDED)
    again = admin.post("/tenants", TENANT, Idempotency_Key="k1")
    assert (again.status_code, again.get_json()["state"]) == (202, "succeeded")
    assert admin.get("/operations").get_json()["count"] == 1
    assert_problem(admin.post("/tenants", TENANT), 409, "name.taken")


def test_not_all_threads_wait_at_once(open_app: Opener, db: Database) -> None:
    """Who finds no place to wait is told at once."""
    app = open_app(web_threads="2")
    admin = log_in(app)
    places = app.extensions["poolhouse-waiters"]
    assert places.acquire(blocking=False)
    began = time.monotonic()
    assert admin.post("/tenants", TENANT, wait=30).status_code == 202
    assert time.monotonic() - began < 5


def test_cancelling_and_resolving_are_decided_by_state(admin: Caller, db: Database, end: End) -> None:
    operation = admin.post("/tenants", TENANT).get_json()["id"]
    assert_problem(admin.post(f"/operations/{operation}/resolve", {"note": "n"}), 409, "operation.not_stuck")
    assert admin.post(f"/operations/{operation}/cancel").status_code == 202
    end(operation, OperationState.CANCELLED)
    assert_problem(admin.post(f"/operations/{operation}/cancel"), 409, "operation.not_cancellable")


def test_operations_are_narrowed(admin: Caller, db: Database) -> None:
    operation = admin.post("/tenants", TENANT).get_json()
    for query, count in (
        ("state=pending", 1), ("state=failed", 0), ("type=tenant.create", 1), ("type=ct.create", 0), ("tenant=demo", 1),
        (f"tenant={operation['tenant']}", 1), ("guest=6f9619ff-8b86-d011-b42d-00cf4fc964ff", 0),
    ):  # fmt: skip
        assert admin.get(f"/operations?{query}").get_json()["count"] == count, query
    assert_problem(admin.get("/operations?tenant=nobody"), 404, "not_found")
    for query in ("state=over", "guest=7", "type="):
        assert_problem(admin.get(f"/operations?{query}"), 422, "validation.failed")


def test_a_tenant_s_numbers(admin: Caller, db: Database) -> None:
    admin.post("/tenants", TENANT)
    quota = admin.put("/tenants/demo/quota", {"cores": 4, "guests": None}).get_json()
    assert (quota["cores"], quota["guests"], quota["memory"]) == (4, None, None)
    assert admin.get("/tenants/demo/quota").get_json() == quota
    assert admin.get("/tenants/demo").get_json()["quota"] == quota
    usage = admin.get("/tenants/demo/usage").get_json()
    assert (usage["allocated"]["guests"], usage["running"]["cores"], usage["users"]) == (0, 0, [])


def test_members(admin: Caller, db: Database) -> None:
    admin.post("/tenants", TENANT)
    user = admin.post("/users", {"username": "maria"}).get_json()["id"]
    made = admin.post("/tenants/demo/members", {"username": "maria", "role": "viewer"})
    assert (made.status_code, made.get_json()) == (201, {"user": user, "username": "maria", "role": "viewer"})
    assert admin.get("/tenants/demo/members").get_json() == {"data": [made.get_json()], "count": 1, "next": None}
    own = admin.put(f"/tenants/demo/quota?user={user}", {"cores": 1}).get_json()
    assert own["cores"] == 1
    assert admin.get("/tenants/demo/quota").get_json()["cores"] is None
    assert admin.delete(f"/tenants/demo/members/{user}").status_code == 204
    assert_problem(admin.delete(f"/tenants/demo/members/{user}"), 404, "not_found")


def test_the_hot_list_is_the_document_that_is_described(admin: Caller, db: Database) -> None:
    assert admin.get("/proxmox/cts").get_json() == {"data": [], "count": 0, "next": None}
    assert admin.get("/proxmox/vms?status=running&name=a&tag=b&node=pve1&template=false").get_json()["count"] == 0
    assert_problem(admin.get("/proxmox/cts?poolid=nobodys"), 404, "not_found")
    assert_problem(admin.get("/proxmox/cts?poolid=a/b"), 422, "validation.failed")


def test_examples_are_accepted_one_after_the_other(admin: Caller, db: Database) -> None:
    """L110: as far as they need neither worker nor lab."""
    paths = admin.client.get("/openapi.json").get_json()["paths"]

    def example(path: str, method: str) -> Any:
        return paths[path][method]["requestBody"]["content"]["application/json"]["example"]

    assert admin.post("/tenants", example("/api/tenants", "post")).status_code == 202
    assert admin.post("/users", example("/api/users", "post")).status_code == 201
    member = example("/api/tenants/{tenant}/members", "post")
    assert admin.post("/tenants/demo/members", member).status_code == 201
    assert admin.put("/tenants/demo/quota", example("/api/tenants/{tenant}/quota", "put")).status_code == 200
    assert admin.patch("/tenants/demo", example("/api/tenants/{tenant}", "patch")).status_code == 200
