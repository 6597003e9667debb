"""Limits and use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.db import audit, groups, members, quota, tenants, users
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege, TenantRole
from app.domain.errors import Invalid, NotFound
from app.domain.quota import Dimension, UserQuota
from app.domain.tenants import Usage
from app.policy import quota as quota_rules
from app.policy import rules

_RUNNING = {"cores": Dimension.RUNNING_CORES, "memory": Dimension.RUNNING_MEMORY}
_ALLOCATED = [dimension for dimension in Dimension if dimension not in _RUNNING.values()]


class Quotas:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, ctx: Context, ref: str, user: str | None = None) -> dict[str, int | None]:
        """Every dimension and its limit, of a tenant or of one member in it; None is unlimited."""
        with self._db.read() as tx:
            tenant = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_AUDIT, on=tenant.id)
            _require_member(tx, tenant.id, user)
            return _complete(quota.limits(tx, tenant.id, user or quota.TENANT))

    def put(
        self, ctx: Context, ref: str, changes: Mapping[Dimension, int | None], user: str | None = None
    ) -> dict[str, int | None]:
        """Change the named dimensions of a tenant, or of one member in it. A limit may lie below what is used."""
        with self._db.begin() as tx:
            tenant = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.QUOTA_MODIFY, on=tenant.id)
            _require_member(tx, tenant.id, user)
            tenants.lock(tx, tenant.id)
            quota.set_limits(tx, tenant.id, changes, user or quota.TENANT)
            told = ",".join(f"{dimension}={amount}" for dimension, amount in sorted(changes.items()))
            audit.record(tx, ctx, "quota.put", tenant=tenant.id, subject=told)
            return _complete(quota.limits(tx, tenant.id, user or quota.TENANT))

    def usage(self, ctx: Context, ref: str) -> Usage:
        with self._db.read() as tx:
            tenant = tenants.find(tx, rules.visible(ctx), ref)
            rules.require(ctx, Privilege.TENANT_AUDIT, on=tenant.id)
            used = quota.used(tx, tenant.id)
            by_user = quota.used_by_user(tx, tenant.id)
            own = quota.limits_by_user(tx, tenant.id, [user for user, _ in by_user])
            roles = members.roles(tx, tenant.id)
            return Usage(
                quota=_complete(quota.limits(tx, tenant.id)),
                allocated={dimension: used[dimension] for dimension in _ALLOCATED},
                running={name: used[dimension] for name, dimension in _RUNNING.items()},
                users=[
                    _of_user(user, name, roles.get(user), amounts, own[user])
                    for (user, name), amounts in sorted(by_user.items())
                ],
            )

    def of_users(self, ctx: Context) -> Sequence[UserQuota]:
        """All users of the house by name, in a fixed number of queries."""
        rules.require(ctx, Privilege.USER_AUDIT)
        nothing = dict.fromkeys(Dimension, 0)
        with self._db.read() as tx:
            homes, named = members.homes(tx), groups.of_users(tx)
            limits, used = quota.at_home(tx, homes)
            return [
                UserQuota(
                    user.id, user.username, user.role, named.get(user.id),
                    _complete(limits[user.id]) if user.id in homes else nothing, used.get(user.id, nothing),
                )
                for user in users.every(tx)
            ]  # fmt: skip

    def put_at_home(
        self, ctx: Context, ref: str, changes: Mapping[Dimension, int | None]
    ) -> tuple[Mapping[Dimension, int | None], Mapping[Dimension, int]]:
        """Change a user's own limits in his home tenant, and the tenant's with them where nobody else is in it, so that
        what is set is what binds. Gives what binds, and the use that counts against it. Raises Invalid
        `tenant.required` for who is in none."""
        rules.require(ctx, Privilege.QUOTA_MODIFY)
        with self._db.begin() as tx:
            user = users.find(tx, ref)
            tenant = members.homes(tx, user.id).get(user.id)
            if tenant is None:
                raise Invalid({"tenant": ["the user is in none"]}, code="tenant.required", remedy="Make him a member.")
            tenants.lock(tx, tenant)
            quota.set_limits(tx, tenant, changes, user.id)
            if members.roles(tx, tenant).keys() == {user.id}:
                quota.set_limits(tx, tenant, changes)
            told = ",".join(f"{dimension}={amount}" for dimension, amount in sorted(changes.items()))
            audit.record(tx, ctx, "quota.put", tenant=tenant, subject=f"{user.username} {told}")
            return quota_rules.binding(
                quota.limits(tx, tenant), quota.used(tx, tenant),
                own_limits=quota.limits(tx, tenant, user.id), own_used=quota.used(tx, tenant, user.id),
            )  # fmt: skip


def _require_member(tx: Tx, tenant: str, user: str | None) -> None:
    if user is not None and members.role_of(tx, tenant, user) is None:
        raise NotFound


def _complete(limits: Mapping[Dimension, int]) -> dict[str, int | None]:
    return {dimension: limits.get(dimension) for dimension in Dimension}


def _of_user(
    user: str,
    username: str,
    role: TenantRole | None,
    used: Mapping[Dimension, int],
    limits: Mapping[Dimension, int],
) -> dict[str, Any]:
    return {
        "user": user, "username": username, "role": role, "quota": _complete(limits),
        "allocated": {d: used[d] for d in _ALLOCATED},
    }  # fmt: skip
