"""Tenants and their members, made through the API."""

from __future__ import annotations

import uuid
from typing import Any

from bench.house import House
from bench.load import Client

_PASSWORD = "a password for benchmarks"


def make_tenant(admin: Client) -> dict[str, Any]:
    """A tenant without limits."""
    body = {"name": f"Bench {uuid.uuid4().hex[:12]}"}
    answer = admin.ask("POST", "/api/tenants", body, Prefer="wait=60")
    assert answer.status in (200, 201), answer.body
    operation = answer.json()
    assert operation["state"] == "succeeded", operation
    tenant: dict[str, Any] = operation["result"]["tenant"]
    return tenant


def make_member(house: House, admin: Client, tenant: dict[str, Any]) -> Client:
    """An operator of the tenant, logged in."""
    username = f"bench-{uuid.uuid4().hex[:12]}"
    made = admin.ask("POST", "/api/users", {"username": username, "password": _PASSWORD, "role": "user"})
    assert made.status == 201, made.body
    joined = admin.ask("POST", f"/api/tenants/{tenant['id']}/members", {"username": username, "role": "operator"})
    assert joined.status == 201, joined.body
    return house.login(username, _PASSWORD)
