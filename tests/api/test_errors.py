"""Errors: one format for all of them, and nothing in it that is ours alone (L101)."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api import errors as translation
from app.config import Settings
from app.domain import errors
from tests.api.conftest import Opener
from tests.house import Caller

PROBLEM = "application/problem+json"
MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id", "error", "description"}
OURS_ALONE = re.compile(
    r"Traceback|/srv/|site-packages|\.py\b|sqlite|SELECT |INSERT |sqlalchemy|werkzeug", re.IGNORECASE
)


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.get_json(force=True)
    assert (answer.status_code, document["code"]) == (status, code), document
    assert answer.content_type == PROBLEM
    assert set(document) >= MEMBERS
    assert document["status"] == status
    assert isinstance(document["detail"], str)
    assert document["error"] == document["description"] == document["detail"]
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert not OURS_ALONE.search(answer.get_data(as_text=True))
    return document


def tree(kind: type[errors.AppError] = errors.AppError) -> list[type[errors.AppError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]


def test_every_error_of_the_family_has_a_status() -> None:
    assert {kind: translation.status_of(kind) for kind in tree() if translation.status_of(kind) == 500} == {
        errors.AppError: 500
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("quota.exceeded", 403), ("capacity.exceeded", 507), ("pve.refused", 502), ("pve.task_failed", 502),
        ("pve.auth_failed", 502), ("pve.timeout", 504), ("pve.unreachable", 503), ("pve.locked", 423),
        ("guest.differs", 409), ("policy.privileged_guest", 403), ("operation.cancelled", 409), ("internal", 500),
        ("unheard.of", 500),
    ],
)  # fmt: skip
def test_a_stored_error_has_the_status_of_its_code(code: str, status: int) -> None:
    assert translation.complete({"code": code, "title": "t", "detail": "d"})["status"] == status


def test_404_of_an_unknown_address(anonymous: Caller) -> None:
    assert_problem(anonymous.get("/nothing"), 404, "not_found")


def test_l3_missing_malformed_and_unknown_are_one_body(admin: Caller) -> None:
    paths = [
        "/operations/6f9619ff-8b86-d011-b42d-00cf4fc964ff", "/operations/x", "/proxmox/cts/10000", "/proxmox/cts/7",
        "/proxmox/vms/6f9619ff-8b86-d011-b42d-00cf4fc964ff", "/proxmox/vms/a%00b", "/proxmox/vms/100%2f..%2f101",
        "/tenants/nobody", "/tenants/a%0ab", "/users/nobody", "/templates/nothing", "/nothing",
    ]  # fmt: skip
    bodies = []
    for path in paths:
        document = assert_problem(admin.get(path), 404, "not_found")
        bodies.append({name: value for name, value in document.items() if name not in ("instance", "request_id")})
    assert all(body == bodies[0] for body in bodies)


def test_405_says_what_is_taken(admin: Caller) -> None:
    answer = admin.put("/users", {})
    assert_problem(answer, 405, "request.method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_413(open_app: Opener) -> None:
    client = open_app(max_body_bytes="2000").test_client()
    answer = client.post("/api/auth/login", json={"username": "x" * 3000, "password": "y"})
    assert_problem(answer, 413, "request.too_large")


def test_413_also_of_a_body_in_chunks(open_app: Opener) -> None:
    client = open_app(max_body_bytes="2000").test_client()
    answer = client.post(
        "/api/auth/login", input_stream=io.BytesIO(b'{"username": "a", "password": "b"}' + b" " * 5000),
        content_type="application/json", environ_overrides={"wsgi.input_terminated": True},
    )  # fmt: skip
    assert_problem(answer, 413, "request.too_large")


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"a": "\\ud800"}'])
def test_400_of_a_body_that_is_no_json(anonymous: Caller, body: bytes) -> None:
    answer = anonymous.client.post("/api/auth/login", data=body, content_type="application/json")
    assert_problem(answer, 400, "request.malformed")


def test_415_of_a_body_that_is_something_else(anonymous: Caller, admin: Caller) -> None:
    answer = anonymous.client.post("/api/auth/login", data={"username": "admin", "password": "x"})
    assert_problem(answer, 415, "request.unsupported_media_type")
    token = {"Authorization": f"Bearer {admin.token}"}
    answer = anonymous.client.post("/api/auth/logout", data="x", content_type="text/plain", headers=token)
    assert_problem(answer, 415, "request.unsupported_media_type")


@pytest.mark.parametrize("body", [None, [], "text", 5, {"nested": {"deep": {"er": 1}}}, {"username": None}])
def test_422_names_what_is_wrong_in_one_sentence(anonymous: Caller, body: Any) -> None:
    answer = anonymous.client.post("/api/auth/login", json=body)
    document = assert_problem(answer, 422, "validation.failed")
    assert document["errors"]
    assert document["detail"].split(":")[0] in document["errors"]


def test_errors_in_lists_name_their_place(admin: Caller) -> None:
    answer = admin.post("/proxmox/cts", {"name": "a", "template": "t", "tags": ["ok", "NOT OK"]})
    assert assert_problem(answer, 422, "validation.failed")["errors"]["tags"]["1"]


def test_401_tells_how_to_log_in(anonymous: Caller) -> None:
    answer = anonymous.get("/users")
    assert_problem(answer, 401, "auth.required")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_409_of_a_taken_name(admin: Caller) -> None:
    assert admin.post("/users", {"username": "maria"}).status_code == 201
    assert_problem(admin.post("/users", {"username": " MARIA "}), 409, "name.taken")


def test_500_tells_nothing(app: Flask) -> None:
    def fault() -> None:
        raise RuntimeError("SELECT secret FROM /srv/poolhouse/app/db.py")

    app.view_functions["api.HealthView"] = fault
    assert_problem(app.test_client().get("/api/health"), 500, "internal")


def test_503_of_a_database_that_is_away(tmp_path: Any) -> None:
    """With Retry-After: it comes back."""
    from app import create_app

    variables = {
        "POOLHOUSE_MODE": "development", "POOLHOUSE_STATE_DIR": str(tmp_path),
        "POOLHOUSE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }  # fmt: skip
    client = create_app(Settings.from_env(variables)).test_client()
    answer = client.post("/api/auth/login", json={"username": "a", "password": "b"})
    assert_problem(answer, 503, "database.unavailable")
    assert int(answer.headers["Retry-After"]) > 0


awkward = st.text(max_size=20) | st.integers() | st.none() | st.lists(st.integers(), max_size=2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        ["/users", "/tenants", "/proxmox/cts", "/proxmox/vms", "/tenants/x/quota", "/operations", "/auth/refresh"]
    ),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    query=st.dictionaries(st.sampled_from(["limit", "cursor", "sort", "poolid", "status", "x"]), st.text(max_size=9)),
    body=st.dictionaries(st.text(max_size=8), awkward, max_size=3),
)
def test_l102_no_request_is_a_fault_of_ours(
    admin: Caller, path: str, method: str, query: dict[str, str], body: dict[str, Any]
) -> None:
    answer = admin.client.open(
        f"/api{path}", method=method, query_string=query, data=json.dumps(body), content_type="application/json",
        headers={"Authorization": f"Bearer {admin.token}"},
    )  # fmt: skip
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.content_type == PROBLEM
        assert not OURS_ALONE.search(answer.get_data(as_text=True))
