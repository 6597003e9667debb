"""Users, with their own use and limits in their home tenants (administrators)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.legacy import words
from app.api.schemas.legacy import LimitsSavedSchema, LimitsSchema, UserWithLimitsSchema, as_list
from app.domain.access import UserRole
from app.domain.quota import UserQuota

_LIMITED = ("cpu", "memory", "storage")


class UsersWithLimitsView(MethodView):
    @blp.response(200, as_list(UserWithLimitsSchema))
    def get(self) -> list[Mapping[str, Any]]:
        """List all users with their own use and limits (administrators, auditors)"""
        return [_shown(one) for one in current.services.quotas.of_users(current.ctx)]


class LimitsView(MethodView):
    @blp.arguments(LimitsSchema, example={"cpu": 64, "memory": 65536, "storage": 1000})
    @blp.response(200, LimitsSavedSchema)
    def put(self, given: Mapping[str, int], user: str) -> dict[str, Any]:
        """Set a user's own limits in his home tenant, and the tenant's where he is its only member (administrators)"""
        changes = {words.QUOTA[word]: None if limit == words.NO_LIMIT else limit for word, limit in given.items()}
        limit, used = current.services.quotas.put_at_home(current.ctx, user, changes)
        return {"message": "Limits saved.", "quota": {"limit": words.quota(limit), "used": words.quota(used)}}


def _shown(one: UserQuota) -> Mapping[str, Any]:
    limits, used = words.quota(one.limits), words.quota(one.used)
    return {
        "id": one.user, "username": one.username, "email": "", "is_admin": one.role == UserRole.ADMIN,
        "group_name": one.group or "", "usage": {**{word: used[word] for word in _LIMITED}, "count": used["vms"]},
        "limits": {word: limits[word] for word in _LIMITED},
    }  # fmt: skip
