"""API keys in the database."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.db.models import ApiKey
from app.db.session import now
from app.domain.access import Privilege, TenantRole
from app.domain.errors import Unauthenticated
from app.domain.paging import PageRequest
from app.domain.tenants import ApiKeySpec
from app.services.api_keys import ApiKeys
from tests.services.conftest import Access

SPEC = ApiKeySpec("nightly", frozenset({Privilege.GUEST_AUDIT}))


def use(keys: ApiKeys, secret: str) -> None:
    keys.authenticate(secret, request_id="request-1", address="192.0.2.7")


def test_its_use_is_noted_once_a_minute_and_not_once_a_request(access: Access) -> None:
    access.tenant("physics", maria=TenantRole.OWNER)
    maria, keys = access.calls("maria"), ApiKeys(access.db)
    _key, secret = keys.create(maria, SPEC)
    use(keys, secret)
    (first,) = keys.list(maria, None, PageRequest()).data
    assert first.last_used_at is not None
    use(keys, secret)
    assert keys.list(maria, None, PageRequest()).data == [first]
    earlier = now() - timedelta(minutes=2)
    with access.db.begin() as tx:
        tx.execute(sa.update(ApiKey).values(last_used_at=earlier))
    use(keys, secret)
    (later,) = keys.list(maria, None, PageRequest()).data
    assert later.last_used_at is not None
    assert later.last_used_at >= first.last_used_at


def test_what_is_kept_is_the_digest(access: Access) -> None:
    access.tenant("physics", maria=TenantRole.OWNER)
    key, secret = ApiKeys(access.db).create(access.calls("maria"), SPEC)
    with access.db.read() as tx:
        row = tx.get_one(ApiKey, key.id)
        assert row.digest == hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in {str(getattr(row, column.key)) for column in sa.inspect(ApiKey).columns}


def test_keys_go_with_their_owner_and_with_their_tenant(access: Access) -> None:
    keys = ApiKeys(access.db)
    physics = access.tenant("physics", maria=TenantRole.OWNER, paul=TenantRole.OWNER)
    secrets = [keys.create(access.calls(name), SPEC)[1] for name in ("maria", "paul")]
    access.users.delete(access.admin, "maria")
    with pytest.raises(Unauthenticated):
        use(keys, secrets[0])
    use(keys, secrets[1])
    with access.db.begin() as tx:
        tx.execute(sa.text("DELETE FROM tenants WHERE id = :id"), {"id": physics})
    with pytest.raises(Unauthenticated):
        use(keys, secrets[1])
