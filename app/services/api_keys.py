"""API keys: for programs, each for one tenant and some actions, until it expires or is deleted."""

from __future__ import annotations

import hashlib
import secrets

from app.db import api_keys, audit, tenants
from app.db.session import Database, now
from app.domain.access import KEY_MARK, Caller, Context, Membership, UserRole
from app.domain.errors import Invalid, Unauthenticated
from app.domain.paging import Page, PageRequest
from app.domain.tenants import ApiKey, ApiKeySpec
from app.policy import rules

_SHOWN = len(KEY_MARK) + 8


class ApiKeys:
    """A key is its maker's: nobody else sees it, and it never allows more than he is allowed when it is used."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, ctx: Context, spec: ApiKeySpec) -> tuple[ApiKey, str]:
        """The key, and its secret, which is shown this once. Raises Forbidden for an action that the caller himself is
        not allowed in the tenant."""
        rules.require_log_in(ctx)
        if spec.expires_at is not None and spec.expires_at <= now():
            raise Invalid({"expires_at": ["must be in the future"]})
        secret = KEY_MARK + secrets.token_urlsafe(32)
        with self._db.begin() as tx:
            tenant = tenants.find(tx, rules.visible(ctx), spec.tenant or rules.only_tenant(ctx))
            for action in sorted(spec.actions):
                rules.require(ctx, action, on=tenant.id)
            key = api_keys.add(
                tx, ctx.caller.user, tenant.id, spec, prefix=secret[:_SHOWN], digest=_digest(secret)
            )  # fmt: skip
            audit.record(tx, ctx, "api_key.create", tenant=tenant.id, subject=_told(key))
            return key, secret

    def list(self, ctx: Context, tenant: str | None, request: PageRequest) -> Page[ApiKey]:
        """The caller's own."""
        rules.require_log_in(ctx)
        with self._db.read() as tx:
            found = tenants.find(tx, rules.visible(ctx), tenant).id if tenant is not None else None
            return api_keys.page(tx, ctx.caller.user, found, request)

    def delete(self, ctx: Context, key: str) -> None:
        """It counts from the key's next request on."""
        rules.require_log_in(ctx)
        with self._db.begin() as tx:
            gone = api_keys.remove(tx, ctx.caller.user, key)
            audit.record(tx, ctx, "api_key.delete", tenant=gone.tenant, subject=_told(gone))

    def authenticate(self, secret: str, *, request_id: str, address: str) -> Context:
        """The key's owner, as he is now, in the key's tenant alone; no administrator even where he is one.

        Raises Unauthenticated `auth.expired` for a key that is not there or has expired, and where its owner is
        disabled: it is nobody's business which.
        """
        with self._db.read() as tx:
            found = api_keys.authenticate(tx, _digest(secret))
        if found is None:
            raise Unauthenticated(
                "This API key is not valid (any more).", code="auth.expired", remedy="Log in, and make a new one."
            )
        if not found.noted:
            with self._db.begin() as tx:
                api_keys.note_use(tx, found.scope.id, now())
        role = rules.key_role(found.role, found.member)
        own = {} if role is None else {found.tenant: Membership(found.tenant, found.tenant_name, role, found.suspended)}
        caller = Caller(found.user, found.username, UserRole.USER, session="")
        return Context(caller, own, request_id, address, found.scope)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _told(key: ApiKey) -> str:
    return f"{key.prefix} {key.name}: {','.join(key.actions)}"
