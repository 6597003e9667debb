"""What every request passes: log-in, parameters, headers, CORS, rate limits, the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api import gate
from app.api.openapi import document_app
from tests.api.conftest import Opener, log_in
from tests.api.test_errors import assert_problem
from tests.house import ADMIN_PASSWORD, Caller

ID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
VOLID = "local:iso/debian.iso"
UPID = "UPID:n1:000003F1:0005825E:6B01FC5F:vzcreate:10005:root@pam:"
OTHER_IDS = {"upid": UPID, "snapshot": "before", "disk": "scsi0", "pos": "0", "vmid": "10007"}
ORIGIN = "http://localhost:5173"


def routes() -> Iterator[tuple[str, str]]:
    """Every method of every route, with ids in the places of ids."""
    for rule in document_app().url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            path = path.replace(f"<{argument}>", OTHER_IDS.get(argument, ID)).replace(
                f"<path:{argument}>", VOLID if argument == "volid" else "swagger-ui.css"
            )
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            yield method, path


PRIVATE = [(method, path) for method, path in routes() if path not in gate.PUBLIC and not path.startswith("/docs")]


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_l1_every_route_refuses_an_anonymous_caller(document_client: FlaskClient, method: str, path: str) -> None:
    """Before it looks at anything else: no service is asked (there is none here)."""
    assert_problem(document_client.open(path, method=method, json={"a": 1}), 401, "auth.required")


@pytest.fixture(scope="module")
def document_client() -> FlaskClient:
    return document_app().test_client()


def test_the_public_routes_are_these_and_exist() -> None:
    rules = {rule.rule for rule in document_app().url_map.iter_rules()}
    assert rules >= gate.PUBLIC
    assert sorted(gate.PUBLIC) == [
        "/api/auth/login", "/api/auth/refresh", "/api/health", "/api/ready", "/docs", "/docs/<path:name>",
        "/openapi.json",
    ]  # fmt: skip


# -- tokens


def claims(app: Flask, **other: Any) -> dict[str, Any]:
    token = log_in(app).token
    found: dict[str, Any] = jwt.decode(token or "", options={"verify_signature": False})
    return {**found, **other}


def key(app: Flask) -> bytes:
    found: bytes = app.config["JWT_SECRET_KEY"]
    return found


def me(app: Flask, token: str) -> Any:
    return app.test_client().get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})


def test_l63_only_our_signature_counts(app: Flask) -> None:
    good = claims(app)
    assert me(app, jwt.encode(good, key(app), "HS256")).status_code == 200
    for token in (
        jwt.encode(good, None, "none"), jwt.encode(good, key(app), "HS512"), jwt.encode(good, b"x" * 32, "HS256"),
        jwt.encode({**good, "type": "refresh"}, key(app), "HS256"), "a.b.c", "", "\u00e4",
        jwt.encode({name: value for name, value in good.items() if name != "sid"}, key(app), "HS256"),
    ):  # fmt: skip
        assert me(app, token).status_code == 401, token


def test_l63_an_expired_token_says_so(app: Flask) -> None:
    assert_problem(me(app, jwt.encode(claims(app, exp=1), key(app), "HS256")), 401, "auth.expired")


def test_l62_log_out_counts_at_once(app: Flask) -> None:
    caller = log_in(app)
    assert caller.post("/auth/logout").status_code == 204
    assert_problem(caller.get("/auth/me"), 401, "auth.expired")


def test_l62_a_refresh_token_works_once(app: Flask, anonymous: Caller) -> None:
    first = anonymous.post("/auth/login", {"username": "admin", "password": ADMIN_PASSWORD}).get_json()
    second = anonymous.post("/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    assert me(app, second.get_json()["access_token"]).status_code == 200
    assert_problem(anonymous.post("/auth/refresh", {"refresh_token": first["refresh_token"]}), 401, "auth.expired")
    assert me(app, second.get_json()["access_token"]).status_code == 401, "it was copied: the log-in has ended"


def test_a_refresh_token_may_be_the_bearer(anonymous: Caller) -> None:
    first = anonymous.post("/auth/login", {"username": "admin", "password": ADMIN_PASSWORD}).get_json()
    assert Caller(anonymous.client, first["refresh_token"]).post("/auth/refresh").status_code == 200
    assert_problem(Caller(anonymous.client, first["access_token"]).post("/auth/refresh"), 401, "auth.expired")


def test_tokens_stay_good_over_a_restart(open_app: Opener) -> None:
    token = log_in(open_app()).token
    assert me(open_app(), token or "").status_code == 200


def test_log_in_answers_in_both_contracts(anonymous: Caller) -> None:
    answer = anonymous.post("/auth/login", {"username": " ADMIN ", "password": ADMIN_PASSWORD}).get_json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 900)
    user = answer["user"]
    assert (user["username"], user["is_admin"], user["role"], user["tenants"]) == ("admin", True, "admin", [])
    nothing = {"vms": 0, "cpu": 0, "memory": 0, "storage": 0}
    assert user["quota"] == {"limit": nothing, "used": nothing}
    assert Caller(anonymous.client, answer["access_token"]).get("/auth/me").get_json() == user


def test_health_does_not_mind_a_bad_token(anonymous: Caller) -> None:
    assert anonymous.get("/health", Authorization="Bearer nonsense").status_code == 200


# -- parameters and bodies


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_l104_unknown_parameters_are_refused_on_every_route(admin: Caller, method: str) -> None:
    paths = [path for one, path in PRIVATE if one == method and path.startswith("/api/")]
    assert paths
    for path in paths:
        body = {} if method in ("POST", "PUT") else None
        document = assert_problem(
            admin.send(method, path.removeprefix("/api") + "?surprise=1", body), 422, "validation.failed"
        )
        assert "surprise" in document["errors"], path


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=ten", "limit=1.0", "limit=%2B1", "limit=", "sort=password_hash", "sort=-", "sort=",
     "cursor=nonsense", "cursor=", "limit=1&limit=2", "cursor=%00"],
)  # fmt: skip
def test_l104_wrong_parameters_are_refused(admin: Caller, query: str) -> None:
    for path in ("/users", "/tenants", "/operations", "/templates", "/proxmox/vms"):
        assert_problem(admin.get(f"{path}?{query}"), 422, "validation.failed")


def test_every_sort_key_that_is_documented_works(admin: Caller) -> None:
    paths = document_app().test_client().get("/openapi.json").get_json()["paths"]
    tried = 0
    for path, item in paths.items():
        for parameter in item.get("get", {}).get("parameters", []):
            if parameter["name"] == "sort" and "{" not in path:
                for key_ in parameter["schema"]["enum"]:
                    answer = admin.get(f"{path.removeprefix('/api')}?sort={key_}")
                    assert answer.status_code == 200, (path, key_, answer.get_data())
                    tried += 1
    assert tried > 20


def test_pages_follow_each_other(admin: Caller) -> None:
    for number in range(5):
        admin.post("/users", {"username": f"user-{number}"})
    seen: list[str] = []
    path = "/users?limit=2&sort=-username"
    while True:
        page = admin.get(path).get_json()
        assert page["count"] == 6
        seen += [user["username"] for user in page["data"]]
        if page["next"] is None:
            break
        path = f"/users?limit=2&sort=-username&cursor={page['next']}"
    assert seen == ["user-4", "user-3", "user-2", "user-1", "user-0", "admin"]


def test_l105_an_action_needs_no_body_and_no_content_type(admin: Caller) -> None:
    """And none is what it gets: 404 here, because there is no such guest; never 400 or 415."""
    token = {"Authorization": f"Bearer {admin.token}"}
    for action in ("start", "stop", "reboot"):
        for more in ({}, {"content_type": "application/json"}, {"data": b"", "content_type": "text/plain"}):
            answer = admin.client.post(f"/api/proxmox/cts/{ID}/{action}", headers=token, **more)
            assert_problem(answer, 404, "not_found")
    assert_problem(admin.client.delete(f"/api/proxmox/vms/{ID}", headers=token), 404, "not_found")


def test_a_body_that_is_not_taken_is_not_ignored(admin: Caller) -> None:
    assert_problem(admin.post(f"/proxmox/cts/{ID}/start", {"force": True}), 422, "validation.failed")
    assert_problem(admin.post(f"/proxmox/cts/{ID}/start", {}), 404, "not_found")
    assert_problem(admin.post(f"/proxmox/cts/{ID}/start", [1]), 422, "validation.failed")


@pytest.mark.parametrize(
    ("path", "body", "twice"),
    [
        ("/users", b'{"username": "maria", "role": "user", "role": "admin"}', {"role"}),
        ("/users", b'{"username": "maria", "role": "user", "r\\u006fle": "user"}', {"role"}),
        ("/tenants", b'{"name": "a", "quota": {"guests": 1, "cores": 2, "guests": 100}}', {"guests"}),
        (f"/proxmox/cts/{ID}/reboot", b'{"a": 1, "a": 2, "b": 3, "b": 4}', {"a", "b"}),
    ],
)
def test_a_member_given_twice_is_refused_by_name(admin: Caller, path: str, body: bytes, twice: set[str]) -> None:
    """With an Idempotency-Key, too, whose first look at the body is earlier."""
    for more in ({}, {"Idempotency-Key": "k1"}):
        headers = {"Authorization": f"Bearer {admin.token}", **more}
        answer = admin.client.post(f"/api{path}", headers=headers, data=body, content_type="application/json")
        problem = assert_problem(answer, 422, "validation.failed")
        assert problem["errors"] == {name: ["is given more than once"] for name in twice}


@pytest.mark.parametrize("body", [b"[" * 1000 + b"]" * 1000, b'{"username": ' + b"9" * 5000 + b"}", b"[" * 100_000])
def test_l102_a_body_that_no_reader_likes_is_the_caller_s_fault(admin: Caller, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {admin.token}"}
    answer = admin.client.post("/api/users", headers=headers, data=body, content_type="application/json")
    assert answer.status_code in (400, 422), answer.get_data()


# -- headers


def test_request_ids_are_taken_or_made(anonymous: Caller) -> None:
    assert anonymous.get("/health", X_Request_Id="abc-12345678").headers["X-Request-Id"] == "abc-12345678"
    for bad in ("short", "x" * 65, "with space 123", "ümläut-12345"):
        made = anonymous.get("/health", X_Request_Id=bad).headers["X-Request-Id"]
        assert made != bad
        assert len(made) == 32


def test_answers_are_protected_and_not_kept(anonymous: Caller) -> None:
    for path in ("/health", "/users", "/nothing"):
        headers = anonymous.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_l67_pages_run_no_script_but_ours(anonymous: Caller) -> None:
    policy = anonymous.client.get("/docs").headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy


@pytest.mark.parametrize("path", ["/health", "/users", "/nothing", "/auth/login", f"/proxmox/vms/{ID}/start"])
def test_l67_cors_stands_on_every_answer_for_listed_origins_only(anonymous: Caller, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        answer = anonymous.send(method, path, Origin=ORIGIN)
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" in answer.headers["Vary"]
        exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert exposed >= {"Location", "ETag", "Retry-After", "RateLimit-Limit"}
        for other in ("https://evil.example", "http://localhost:5173.evil.example", "null"):
            answer = anonymous.send(method, path, Origin=other)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("path", ["/users", "/auth/login", "/nothing", f"/proxmox/vms/{ID}/start"])
def test_preflight_is_answered_without_a_token(anonymous: Caller, path: str) -> None:
    answer = anonymous.send(
        "OPTIONS", path, Origin=ORIGIN, Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="authorization,content-type",
    )  # fmt: skip
    assert answer.status_code in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    allowed = "Authorization, Content-Type, Idempotency-Key, Prefer, If-Match, Last-Event-ID"
    assert answer.headers["Access-Control-Allow-Headers"] == allowed
    assert answer.headers["Access-Control-Max-Age"] == "600"


def test_no_address_redirects(anonymous: Caller) -> None:
    for path in ("/health/", "//health", "/users/"):
        assert anonymous.get(path).status_code == 404


# -- rate limits, by the day: where one window ends and the next begins, the sliding count lets one more pass


def test_l61_failed_log_ins_are_throttled_by_name_and_address(open_app: Opener) -> None:
    caller = Caller(open_app(ratelimit_enabled="1", ratelimit_login="3/day").test_client())
    wrong = {"username": "admin", "password": "wrong password"}
    for spelling in ("admin", " ADMIN", "Admin "):
        assert caller.post("/auth/login", {**wrong, "username": spelling}).status_code == 401
    refused = caller.post("/auth/login", wrong)
    assert_problem(refused, 429, "rate.exceeded")
    assert int(refused.headers["Retry-After"]) > 0
    right = {"username": "admin", "password": ADMIN_PASSWORD}
    assert caller.post("/auth/login", right).status_code == 429, "also with the right password"
    assert caller.post("/auth/login", {**wrong, "username": "maria"}).status_code == 401, "others are not held up"
    elsewhere = {"REMOTE_ADDR": "192.0.2.9"}
    assert caller.client.post("/api/auth/login", json=right, environ_base=elsewhere).status_code == 200


def test_successful_log_ins_are_not_counted(open_app: Opener) -> None:
    app = open_app(ratelimit_enabled="1", ratelimit_login="2/day")
    for _ in range(4):
        log_in(app)


def test_l61_reads_and_writes_are_counted_apart_and_by_user(open_app: Opener) -> None:
    app = open_app(ratelimit_enabled="1", ratelimit_reads="5/day", ratelimit_writes="7/day")
    admin = log_in(app)
    made = [admin.post("/users", {"username": f"u{n}", "password": "a long password"}).status_code for n in range(8)]
    assert made == [201] * 7 + [429]
    for left in (4, 3, 2, 1, 0):
        answer = admin.get("/users")
        assert (answer.status_code, answer.headers["RateLimit-Remaining"]) == (200, str(left))
        assert answer.headers["RateLimit-Limit"] == "5"
    refused = admin.get("/tenants")
    assert_problem(refused, 429, "rate.exceeded")
    assert (
        refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] or int(refused.headers["Retry-After"]) > 0
    )
    assert log_in(app, "u0", "a long password").get("/auth/me").status_code == 200
    assert "RateLimit-Limit" not in admin.send("OPTIONS", "/users").headers


def test_anonymous_callers_are_counted_by_address(open_app: Opener) -> None:
    caller = Caller(open_app(ratelimit_enabled="1", ratelimit_reads="3/day").test_client())
    assert [caller.get("/users").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_limits_are_shared_through_redis(open_app: Opener, redis_url: str) -> None:
    one, two = (
        Caller(open_app(ratelimit_enabled="1", ratelimit_reads="3/day", redis_url=redis_url).test_client())
        for _ in range(2)
    )
    assert [caller.get("/health").status_code for caller in (one, two, one, two)] == [200, 200, 200, 429]


def test_redis_away_refuses_nobody(open_app: Opener) -> None:
    app = open_app(ratelimit_enabled="1", ratelimit_reads="3/day", redis_url="redis://127.0.0.1:1/0")
    assert [app.test_client().get("/api/health").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_whose_address_counts_behind_proxies(open_app: Opener) -> None:
    forwarded = {"X_Forwarded_For": "192.0.2.1"}
    direct = Caller(open_app(ratelimit_enabled="1", ratelimit_reads="1/day").test_client())
    assert [direct.get("/health", X_Forwarded_For=f"192.0.2.{n}").status_code for n in (1, 2)] == [200, 429]
    behind = Caller(open_app(ratelimit_enabled="1", ratelimit_reads="1/day", proxies="1").test_client())
    assert [behind.get("/health", X_Forwarded_For=f"192.0.2.{n}").status_code for n in (1, 2)] == [200, 200]
    assert behind.get("/health", **forwarded).status_code == 429


# -- the log


def test_l64_one_line_a_request_without_secrets(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    caller = log_in(app)
    caller.get("/users?cursor=secret-cursor")
    caller.post("/users", {"username": "maria", "password": "Xy-unfindable-7231"})
    caller.get("/auth/me", X_Request_Id="abc-12345678")
    output = capsys.readouterr().err
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 422, 201, 200]
    last = lines[-1]
    assert (last["method"], last["route"], last["user"], last["request_id"]) == (
        "GET", "/api/auth/me", "admin", "abc-12345678",
    )  # fmt: skip
    for secret in ("Xy-unfindable-7231", "secret-cursor", ADMIN_PASSWORD, str(caller.token)):
        assert secret not in output
