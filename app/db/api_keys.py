"""API keys: their owners', each for one tenant. A request looks its own up, so that the end of one counts at once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.db import paging
from app.db.models import ApiKey, Member, Tenant, User
from app.db.session import Tx, now
from app.domain import tenants as domain
from app.domain.access import ApiKeyScope, Privilege, TenantRole, UserRole
from app.domain.errors import NotFound
from app.domain.paging import Page, PageRequest
from app.domain.tenants import ApiKeySpec

COLUMNS: Mapping[str, Any] = {"name": ApiKey.name, "created_at": ApiKey.created_at}
_USED_EVERY = timedelta(minutes=1)

_AUTHENTICATE = (
    sa.select(
        ApiKey.id, ApiKey.prefix, ApiKey.actions, ApiKey.expires_at, ApiKey.last_used_at,
        User.id, User.username, User.role, User.disabled, Tenant.id, Tenant.name, Tenant.suspended, Member.role,
    )
    .select_from(ApiKey)
    .join(User, User.id == ApiKey.user_id)
    .join(Tenant, Tenant.id == ApiKey.tenant_id)
    .outerjoin(Member, sa.and_(Member.user_id == ApiKey.user_id, Member.tenant_id == ApiKey.tenant_id))
    .where(ApiKey.digest == sa.bindparam("digest"))
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A key that is good now, its owner and its tenant; `member` None: the owner is no member (any more).

    `noted`: that it was used within this minute is known already.
    """

    scope: ApiKeyScope
    noted: bool
    user: str
    username: str
    role: UserRole
    tenant: str
    tenant_name: str
    suspended: bool
    member: TenantRole | None


def authenticate(tx: Tx, digest: str) -> Found | None:
    """One query. None for a key that is not there or has expired, and where its owner is disabled."""
    row = tx.connection().execute(_AUTHENTICATE, {"digest": digest}).first()
    if row is None:
        return None
    key, prefix, actions, expires_at, used, user, username, role, disabled, tenant, name, suspended, member = row
    if disabled or (expires_at is not None and expires_at <= now()):
        return None
    return Found(
        scope=ApiKeyScope(key, prefix, frozenset(map(Privilege, actions))),
        noted=used is not None and used > now() - _USED_EVERY,
        user=user, username=username, role=UserRole(role), tenant=tenant, tenant_name=name, suspended=suspended,
        member=None if member is None else TenantRole(member),
    )  # fmt: skip


def note_use(tx: Tx, key: str, at: datetime) -> None:
    tx.execute(sa.update(ApiKey).where(ApiKey.id == key).values(last_used_at=at))


def add(tx: Tx, user: str, tenant: str, spec: ApiKeySpec, *, prefix: str, digest: str) -> domain.ApiKey:
    row = ApiKey(
        id=str(uuid.uuid4()), user_id=user, tenant_id=tenant, name=spec.name, prefix=prefix, digest=digest,
        actions=sorted(spec.actions), expires_at=spec.expires_at,
    )  # fmt: skip
    tx.add(row)
    tx.flush()
    return _view(row)


def remove(tx: Tx, user: str, key: str) -> domain.ApiKey:
    """The key as it was. Raises NotFound for what is not this user's."""
    row = tx.get(ApiKey, key)
    if row is None or row.user_id != user:
        raise NotFound
    tx.delete(row)
    return _view(row)


def page(tx: Tx, user: str, tenant: str | None, request: PageRequest) -> Page[domain.ApiKey]:
    statement = sa.select(ApiKey).where(ApiKey.user_id == user)
    if tenant is not None:
        statement = statement.where(ApiKey.tenant_id == tenant)
    rows = paging.page(tx, statement, columns=COLUMNS, key=ApiKey.id, default_sort="name", request=request)
    return Page([_view(row) for row in rows.data], rows.count, rows.next)


def _view(row: ApiKey) -> domain.ApiKey:
    return domain.ApiKey(
        row.id, row.name, row.tenant_id, row.prefix, row.actions, row.expires_at, row.last_used_at, row.created_at
    )
