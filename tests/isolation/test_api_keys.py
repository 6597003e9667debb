"""E4, L20: an API key does what its tenant, its actions and its expiry say, and never more than its maker may then."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.db.models import ApiKey, AuditEntry
from app.db.session import Database
from app.domain.access import KEY_ACTIONS, KEY_MARK, Privilege
from tests.house import PASSWORD, Caller, House, container

READ = ["guest.audit"]
POWER = ["guest.power"]


@pytest.fixture
def owner(house: House, tenant: dict[str, Any]) -> Caller:
    return house.make_member(tenant, "owner")


@pytest.fixture(scope="module")
def guest(house: House, tenant: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = house.make_member(tenant).done("POST", "/proxmox/cts", container())["result"]["guest"]
    return made


def make_key(maker: Caller, actions: Sequence[str], **more: Any) -> dict[str, Any]:
    answer = maker.post("/api-keys", {"name": "a program", "actions": list(actions), **more})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    made: dict[str, Any] = answer.get_json()
    return made


def key_of(house: House, maker: Caller, actions: Sequence[str], **more: Any) -> Caller:
    return Caller(house.app.test_client(), make_key(maker, actions, **more)["secret"])


def refusal(caller: Caller, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = caller.send(method, path, body)
    return answer.status_code, answer.get_json().get("code", "")


def database(house: House) -> Database:
    return Database(house.settings.database_url)


def test_the_secret_is_shown_once_and_kept_nowhere(house: House, tenant: dict[str, Any], owner: Caller) -> None:
    body = {"name": "nightly", "actions": ["guest.power", "guest.audit"], "tenant": tenant["name"]}
    key = str(uuid.uuid4())
    made = owner.post("/api-keys", body, Idempotency_Key=key).get_json()
    assert made["secret"].startswith(made["prefix"])
    assert made["prefix"].startswith(KEY_MARK)
    assert made["tenant"] == tenant["id"]
    assert made["actions"] == ["guest.audit", "guest.power"]
    assert made["last_used_at"] is made["expires_at"] is None
    again = owner.post("/api-keys", body, Idempotency_Key=key).get_json()
    assert again == {name: value for name, value in made.items() if name != "secret"}
    assert owner.get("/api-keys").get_json()["data"] == [again]
    assert owner.get(f"/api-keys?tenant={tenant['id']}").get_json()["count"] == 1
    files = [path.read_bytes() for path in house.state_dir.glob("poolhouse.db*")]
    assert files
    assert not any(made["secret"].encode() in content for content in files)


def test_it_works_where_a_log_in_does_and_tells_when_it_was_used(
    house: House, owner: Caller, guest: dict[str, Any]
) -> None:
    key = key_of(house, owner, [*READ, *POWER])
    assert guest["id"] in {one["id"] for one in key.get("/proxmox/cts").get_json()["data"]}
    assert key.done("POST", f"/proxmox/cts/{guest['id']}/stop")["state"] == "succeeded"
    assert key.get("/auth/me").get_json()["tenants"][0]["id"] == guest["tenant"]
    (listed,) = owner.get("/api-keys").get_json()["data"]
    assert listed["last_used_at"] is not None
    with database(house).read() as tx:
        actors = set(tx.scalars(sa.select(AuditEntry.actor).where(AuditEntry.guest_id == guest["id"])))
    assert any(actor.endswith(f" ({listed['prefix']})") for actor in actors)


def test_what_it_was_not_made_for_is_refused(house: House, owner: Caller, guest: dict[str, Any]) -> None:
    key = key_of(house, owner, READ)
    for method, path, body in (
        ("POST", "/proxmox/cts", container()),
        ("POST", f"/proxmox/cts/{guest['id']}/start", None),
        ("DELETE", f"/proxmox/cts/{guest['id']}", None),
        ("GET", f"/tenants/{guest['tenant']}", None),
        ("GET", "/tenants", None),
        ("GET", "/operations", None),
        ("GET", "/templates", None),
    ):
        assert refusal(key, method, path, body) == (403, "key.scope"), (method, path)


def test_who_may_begin_an_operation_may_follow_it_and_nobody_else(
    house: House, owner: Caller, guest: dict[str, Any]
) -> None:
    begun = key_of(house, owner, POWER).done("POST", f"/proxmox/cts/{guest['id']}/stop")["id"]
    assert key_of(house, owner, POWER).get(f"/operations/{begun}").status_code == 200
    assert refusal(key_of(house, owner, READ), "GET", f"/operations/{begun}") == (403, "key.scope")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api-keys", {"name": "more", "actions": READ}),
        ("GET", "/api-keys", None),
        ("DELETE", "/api-keys/5c469a1b-469e-48a5-af74-81552079bbaa", None),
        ("POST", "/auth/change-password", {"current_password": PASSWORD, "new_password": "another long password"}),
        ("POST", "/auth/logout", None),
    ],
)
def test_it_makes_no_keys_and_changes_no_password(
    house: House, owner: Caller, method: str, path: str, body: Any
) -> None:
    key = key_of(house, owner, sorted(KEY_ACTIONS))
    assert refusal(key, method, path, body) == (403, "key.no_log_in")
    assert owner.get("/auth/me").status_code == 200


def test_it_stays_in_its_tenant_whoever_made_it(house: House, tenant: dict[str, Any]) -> None:
    """Of an administrator it has nothing but his access to that tenant."""
    other = house.make_tenant()
    both = house.make_member(tenant, "owner")
    name = both.get("/auth/me").get_json()["username"]
    house.admin().post(f"/tenants/{other['id']}/members", {"username": name, "role": "owner"})
    for maker in (house.admin(), both):
        key = key_of(house, maker, sorted(KEY_ACTIONS), tenant=tenant["id"])
        assert key.get(f"/tenants/{tenant['id']}").status_code == 200
        assert [one["id"] for one in key.get("/tenants").get_json()["data"]] == [tenant["id"]]
        assert refusal(key, "GET", f"/tenants/{other['id']}") == (404, "not_found")
        assert refusal(key, "GET", f"/proxmox/cts?tenant={other['id']}") == (404, "not_found")
        assert refusal(key, "POST", "/proxmox/cts", container(tenant=other["id"])) == (404, "not_found")
        assert refusal(key, "POST", "/tenants", {"name": "mine"})[0] == 403
        assert refusal(key, "PUT", f"/tenants/{tenant['id']}/quota", {"cores": None})[0] == 403
        assert refusal(key, "PATCH", f"/tenants/{tenant['id']}", {"suspended": True})[0] == 403
        assert refusal(key, "GET", "/users")[0] == 403


def test_it_never_allows_more_than_its_maker_may_now(house: House, guest: dict[str, Any]) -> None:
    """L62: lowered, taken out, suspended, disabled and restored count from the next request on."""
    admin, tenant = house.admin(), house.make_tenant()
    maker = house.make_member(tenant, "operator")
    me = maker.get("/auth/me").get_json()
    key = key_of(house, maker, sorted(KEY_ACTIONS - {Privilege.TENANT_MODIFY}))

    def role(now: str) -> None:
        admin.post(f"/tenants/{tenant['id']}/members", {"username": me["username"], "role": now})

    def create() -> tuple[int, str]:
        return refusal(key, "POST", "/proxmox/cts", container())

    role("viewer")
    assert create() == (403, "policy.forbidden")
    role("operator")
    admin.patch(f"/tenants/{tenant['id']}", {"suspended": True})
    assert create() == (403, "tenant.suspended")
    assert key.get("/proxmox/cts").status_code == 200
    admin.patch(f"/tenants/{tenant['id']}", {"suspended": False})
    admin.delete(f"/tenants/{tenant['id']}/members/{me['id']}")
    assert refusal(key, "GET", f"/tenants/{tenant['id']}") == (404, "not_found")
    assert key.get("/proxmox/cts").get_json()["data"] == []
    role("operator")
    admin.patch(f"/users/{me['id']}", {"disabled": True})
    assert refusal(key, "GET", "/proxmox/cts") == (401, "auth.expired")
    admin.patch(f"/users/{me['id']}", {"disabled": False})
    assert create()[0] == 202


def test_after_its_expiry_and_after_its_end_it_is_401(house: House, owner: Caller) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = make_key(owner, READ, expires_at=soon)
    key = Caller(house.app.test_client(), made["secret"])
    assert key.get("/proxmox/cts").status_code == 200
    with database(house).begin() as tx:
        tx.execute(sa.update(ApiKey).where(ApiKey.id == made["id"]).values(expires_at=datetime.now(UTC)))
    assert refusal(key, "GET", "/proxmox/cts") == (401, "auth.expired")
    made = make_key(owner, READ)
    key = Caller(house.app.test_client(), made["secret"])
    assert key.get("/proxmox/cts").status_code == 200
    assert owner.delete(f"/api-keys/{made['id']}").status_code == 204
    assert refusal(key, "GET", "/proxmox/cts") == (401, "auth.expired")
    assert refusal(owner, "DELETE", f"/api-keys/{made['id']}") == (404, "not_found")


@pytest.mark.parametrize("secret", ["phk_", "phk_x", "phk_" + "a" * 43, "phk_é", "phk_ ", "PHK_x"])
def test_what_only_looks_like_a_key_is_401(house: House, secret: str) -> None:
    assert Caller(house.app.test_client(), secret).get("/proxmox/cts").status_code == 401


def test_a_foreign_key_looks_missing(house: House, tenant: dict[str, Any], owner: Caller) -> None:
    foreign = make_key(house.make_member(tenant, "owner"), READ)
    for caller in (owner, house.admin()):
        assert refusal(caller, "DELETE", f"/api-keys/{foreign['id']}") == (404, "not_found")
        assert foreign["id"] not in caller.get("/api-keys?limit=1000").get_data(as_text=True)
    assert refusal(owner, "DELETE", "/api-keys/no-such-key") == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"actions": []}, 422),
        ({"actions": ["member.modify"]}, 422),
        ({"actions": ["user.modify"]}, 422),
        ({"actions": ["everything"]}, 422),
        ({"actions": "guest.audit"}, 422),
        ({"actions": READ, "expires_at": "2020-01-01T00:00:00Z"}, 422),
        ({"actions": READ, "expires_at": "2999-01-01T00:00:00"}, 422),
        ({"actions": READ, "name": ""}, 422),
        ({"actions": READ, "role": "admin"}, 422),
        ({"actions": READ, "tenant": "no such tenant"}, 404),
    ],
)
def test_what_no_key_can_be_made_of(owner: Caller, body: dict[str, Any], expected: int) -> None:
    assert owner.post("/api-keys", {"name": "a program", **body}).status_code == expected
    assert owner.get("/api-keys").get_json()["count"] == 0


def test_nobody_makes_a_key_for_what_he_may_not_himself(house: House, tenant: dict[str, Any]) -> None:
    """Nor for a tenant that is not his."""
    other, viewer = house.make_tenant(), house.make_member(tenant, "viewer")
    body = {"name": "more", "actions": POWER}
    assert refusal(viewer, "POST", "/api-keys", body) == (403, "policy.forbidden")
    foreign, missing = (
        viewer.post("/api-keys", {**body, "tenant": ref}).get_json() for ref in (other["id"], str(uuid.uuid4()))
    )
    for answer in (foreign, missing):
        answer.pop("request_id")
    assert foreign == missing
    assert refusal(house.admin(), "POST", "/api-keys", body) == (422, "validation.failed")


def test_an_answer_to_one_key_is_not_repeated_to_another(house: House, tenant: dict[str, Any], owner: Caller) -> None:
    """An Idempotency-Key would else lead around what a key was made for."""
    wide, narrow = key_of(house, owner, ["tenant.modify", "guest.allocate"]), key_of(house, owner, READ)
    for method, path, body in (
        ("POST", "/proxmox/cts", container()),
        ("PATCH", f"/tenants/{tenant['id']}", {"comment": "not for everybody"}),
    ):
        name = str(uuid.uuid4())
        first = wide.send(method, path, body, Idempotency_Key=name)
        assert first.status_code in (200, 202)
        repeated = wide.send(method, path, body, Idempotency_Key=name)
        assert (repeated.status_code, repeated.get_json()["id"]) == (first.status_code, first.get_json()["id"])
        refused = narrow.send(method, path, body, Idempotency_Key=name)
        assert (refused.status_code, refused.get_json()["code"]) == (403, "key.scope")
