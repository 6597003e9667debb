"""Idempotency-Key and Prefer, through HTTP."""

from __future__ import annotations

from flask import Flask

from tests.api.conftest import log_in
from tests.api.test_errors import assert_problem
from tests.house import ADMIN_PASSWORD, Caller


def test_l50_the_same_key_happens_once(admin: Caller) -> None:
    first = admin.post("/users", {"username": "maria", "password": "a long password"}, Idempotency_Key="k1")
    again = admin.post("/users", {"password": "a long password", "username": "maria"}, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert admin.get("/users").get_json()["count"] == 2


def test_l50_another_body_or_address_with_the_key_is_refused(admin: Caller) -> None:
    admin.post("/users", {"username": "maria"}, Idempotency_Key="k1")
    assert_problem(admin.post("/users", {"username": "otto"}, Idempotency_Key="k1"), 422, "idempotency.mismatch")
    assert_problem(admin.post("/auth/logout", Idempotency_Key="k1"), 422, "idempotency.mismatch")


def test_a_repeated_answer_shows_no_password_again(admin: Caller) -> None:
    """L65: it is not stored."""
    first = admin.post("/users", {"username": "maria"}, Idempotency_Key="k1").get_json()
    again = admin.post("/users", {"username": "maria"}, Idempotency_Key="k1").get_json()
    assert len(first.pop("password")) >= 16
    assert again == first


def test_what_was_refused_may_be_tried_again_with_the_key(admin: Caller) -> None:
    assert_problem(
        admin.post("/users", {"username": "a", "password": "short"}, Idempotency_Key="k1"), 422, "validation.failed"
    )
    made = admin.post("/users", {"username": "a", "password": "a long password"}, Idempotency_Key="k1")
    assert made.status_code == 201


def test_an_answer_without_a_body_is_repeated_too(admin: Caller) -> None:
    user = admin.post("/users", {"username": "maria"}).get_json()["id"]
    assert [admin.delete(f"/users/{user}", Idempotency_Key="k1").status_code for _ in range(2)] == [204, 204]
    assert admin.delete(f"/users/{user}").status_code == 404


def test_a_key_is_its_callers_own(app: Flask, admin: Caller) -> None:
    admin.post("/users", {"username": "root", "password": "a long password", "role": "admin"})
    other = log_in(app, "root", "a long password")
    assert admin.post("/users", {"username": "one"}, Idempotency_Key="k1").status_code == 201
    assert other.post("/users", {"username": "two"}, Idempotency_Key="k1").status_code == 201


def test_keys_have_a_form(admin: Caller) -> None:
    for key in ("x" * 129, "ümläut", ""):
        answer = admin.post("/users", {"username": "maria"}, Idempotency_Key=key)
        assert "Idempotency-Key" in assert_problem(answer, 422, "validation.failed")["errors"]
    assert admin.post("/users", {"username": "maria"}, Idempotency_Key="k" * 128).status_code == 201


def test_a_key_at_the_log_in_changes_nothing(anonymous: Caller) -> None:
    """There is no user yet whose key it could be."""
    body = {"username": "admin", "password": ADMIN_PASSWORD}
    answers = [anonymous.post("/auth/login", body, Idempotency_Key="one") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    tokens = {answer.get_json()["access_token"] for answer in answers}
    assert len(tokens) == 2
