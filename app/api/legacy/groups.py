"""Groups with their limits and defaults in one: each is a group of ours and its plan (administrators)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.legacy import words
from app.api.schemas.legacy import (
    GroupMadeSchema,
    GroupSaidSchema,
    GroupToldSchema,
    LimitedGroupSchema,
    NewGroupSaidSchema,
    as_list,
)
from app.domain.plans import Group, GroupSpec, Plan, PlanSpec

_GROUP = ("name", "description", "ldap_filter")
_DEFAULTS = {
    "default_storage_pool": "default_storage", "default_network_bridge": "default_bridge", "default_vlan_tag": "vlan",
}  # fmt: skip
_LIMITS = {f"max_{word}": dimension for word, dimension in words.QUOTA.items()}
_REFUSED = {ours: theirs for theirs, ours in _DEFAULTS.items()}
_EXAMPLE = {"name": "teachers", "max_vms": 4, "max_cpu": 8, "max_memory": 8192, "max_storage": 100}


class LimitedGroupsView(MethodView):
    @blp.response(200, as_list(LimitedGroupSchema))
    def get(self) -> list[Mapping[str, Any]]:
        """List all groups with what their plans say (administrators, auditors)"""
        return [_shown(group, plan) for group, plan in current.services.planned_groups.every(current.ctx)]

    @blp.arguments(NewGroupSaidSchema, example=_EXAMPLE)
    @blp.response(201, GroupMadeSchema)
    def post(self, given: dict[str, Any]) -> dict[str, Any]:
        """Make a group with a plan of its own (administrators)"""
        group = GroupSpec(given["name"], given.get("description", ""), ldap_filter=given.get("ldap_filter") or None)
        with words.in_words(**_REFUSED):
            made = current.services.planned_groups.create(current.ctx, group, PlanSpec("", **_plan(given)))
        return {"msg": "Group created.", "id": made.id}


class LimitedGroupView(MethodView):
    @blp.arguments(GroupSaidSchema, example={"description": "Spring term", "max_cpu": 16})
    @blp.response(200, GroupToldSchema)
    def put(self, given: dict[str, Any], group: str) -> dict[str, Any]:
        """Change a group and what its plan says, for this group alone; what is left out stays (administrators)"""
        said = {name: given[name] or None if name == "ldap_filter" else given[name] for name in _GROUP if name in given}
        with words.in_words(**_REFUSED):
            current.services.planned_groups.change(current.ctx, group, said, _plan(given))
        return {"msg": "Group saved."}

    @blp.response(200, GroupToldSchema)
    def delete(self, group: str) -> dict[str, Any]:
        """Delete a group that nobody is in, with its own plan (administrators)"""
        current.services.planned_groups.delete(current.ctx, group)
        return {"msg": "Group deleted."}


def _plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the plan; an emptied default is none."""
    said: dict[str, Any] = {ours: given[theirs] or None for theirs, ours in _DEFAULTS.items() if theirs in given}
    limits = {
        dimension: None if given[theirs] == words.NO_LIMIT else given[theirs]
        for theirs, dimension in _LIMITS.items()
        if theirs in given
    }
    return {**said, "limits": limits} if limits else said


def _shown(group: Group, plan: Plan | None) -> Mapping[str, Any]:
    said = {theirs: getattr(plan, ours, None) for theirs, ours in _DEFAULTS.items()}
    limits = words.quota(plan.limits if plan is not None else dict.fromkeys(words.QUOTA.values()))
    return {
        "id": group.id, "name": group.name, "description": group.description, "ldap_filter": group.ldap_filter,
        **said, **{f"max_{word}": limit for word, limit in limits.items()}, "user_count": group.user_count,
    }  # fmt: skip
