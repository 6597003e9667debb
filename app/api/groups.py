"""Groups of users and tenants, to whom a plan applies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.plans import (
    GroupChangedSchema,
    GroupCreateSchema,
    GroupQuerySchema,
    GroupSchema,
    GroupUpdateSchema,
)
from app.api.schemas.tenants import TenantQuerySchema, TenantSchema
from app.api.schemas.users import UserQuerySchema, UserSchema
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.plans import Group, GroupSpec
from app.domain.tenants import Tenant, User


class GroupsView(MethodView):
    @blp.pages(GroupSchema, GroupQuerySchema)
    def get(self, page: PageRequest) -> Page[Group]:
        """List groups"""
        return current.services.groups.list(current.ctx, page)

    @blp.arguments(GroupCreateSchema, example={"name": "students", "ldap_filter": "(memberOf=cn=students,dc=example)"})
    @blp.response(201, GroupSchema)
    def post(self, spec: GroupSpec) -> Group:
        """Make a group"""
        return current.services.groups.create(current.ctx, spec)


class GroupView(MethodView):
    @blp.response(200, GroupSchema)
    def get(self, group: str) -> Group:
        """Show a group, by id or name"""
        return current.services.groups.get(current.ctx, group)

    @blp.arguments(GroupUpdateSchema, example={"description": "Spring term"})
    @blp.response(200, GroupChangedSchema)
    def put(self, change: dict[str, Any], group: str) -> Mapping[str, Any]:
        """Change a group for all who are in it; what is left out stays"""
        changed = current.services.groups.change(current.ctx, group, change)
        return {**vars(changed.group), "operations": changed.operations}

    @blp.response(204)
    def delete(self, group: str) -> None:
        """Delete a group that nobody is in"""
        current.services.groups.delete(current.ctx, group)


class GroupUsersView(MethodView):
    @blp.pages(UserSchema, UserQuerySchema)
    def get(self, page: PageRequest, group: str) -> Page[User]:
        """List the users in a group"""
        return current.services.groups.users(current.ctx, group, page)


class GroupUserView(MethodView):
    @blp.response(204)
    def put(self, group: str, user: str) -> None:
        """Put a user into a group, out of any other; the limits of its plan take the place of his own"""
        current.services.groups.add_user(current.ctx, group, user)

    @blp.response(204)
    def delete(self, group: str, user: str) -> None:
        """Take a user out of a group"""
        current.services.groups.remove_user(current.ctx, group, user)


class GroupTenantsView(MethodView):
    @blp.pages(TenantSchema, TenantQuerySchema)
    def get(self, page: PageRequest, group: str) -> Page[Tenant]:
        """List the tenants in a group"""
        return current.services.groups.tenants(current.ctx, group, page)


class GroupTenantView(MethodView):
    @blp.accepted()
    def put(self, group: str, tenant: str) -> Operation:
        """Put a tenant into a group, out of any other; it has the group's plan from then on"""
        return current.services.groups.add_tenant(current.ctx, group, tenant)

    @blp.response(204)
    def delete(self, group: str, tenant: str) -> None:
        """Take a tenant out of a group; it keeps its plan"""
        current.services.groups.remove_tenant(current.ctx, group, tenant)


VIEWS: Mapping[str, type[MethodView]] = {
    "": GroupsView,
    "/<group>": GroupView,
    "/<group>/users": GroupUsersView,
    "/<group>/users/<user>": GroupUserView,
    "/<group>/tenants": GroupTenantsView,
    "/<group>/tenants/<tenant>": GroupTenantView,
}
