"""Tenants, their members, limits and use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.guest_actions import CascadeSchema
from app.api.schemas.tenants import (
    MemberAddSchema,
    MemberQuerySchema,
    MemberSchema,
    QuotaSchema,
    TenantAccessSchema,
    TenantCreateSchema,
    TenantQuerySchema,
    TenantSchema,
    TenantUpdateSchema,
    UsageSchema,
    WhoseQuotaSchema,
    limits,
)
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.tenants import Member, Tenant, TenantAccess, TenantChanges, TenantSpec, Usage

_EXAMPLE = {"name": "demo", "quota": {"guests": 20, "cores": 32, "memory": 65536, "disk_gb": 500}}


class TenantsView(MethodView):
    @blp.pages(TenantSchema, TenantQuerySchema)
    def get(self, page: PageRequest) -> Page[Tenant]:
        """List the tenants that I may see"""
        return current.services.tenants.list(current.ctx, page)

    @blp.arguments(TenantCreateSchema, example=_EXAMPLE)
    @blp.accepted()
    def post(self, spec: TenantSpec) -> Operation:
        """Create a tenant with its pool, PVE user, rights and token"""
        return current.services.tenants.create(current.ctx, spec)


class TenantView(MethodView):
    @blp.response(200, TenantSchema)
    def get(self, tenant: str) -> Tenant:
        """Show a tenant, by id or name"""
        return current.services.tenants.get(current.ctx, tenant)

    @blp.arguments(TenantUpdateSchema, example={"comment": "Spring term"})
    @blp.response(200, TenantSchema)
    def patch(self, changes: TenantChanges, tenant: str) -> Tenant:
        """Suspend or resume a tenant, or change its comment"""
        return current.services.tenants.update(current.ctx, tenant, changes)

    @blp.arguments(CascadeSchema, location="query")
    @blp.accepted()
    def delete(self, query: dict[str, bool], tenant: str) -> Operation:
        """Delete a tenant; with `cascade=true` its guests, too"""
        return current.services.tenants.delete(current.ctx, tenant, cascade=query["cascade"])


class MembersView(MethodView):
    @blp.pages(MemberSchema, MemberQuerySchema)
    def get(self, page: PageRequest, tenant: str) -> Page[Member]:
        """List a tenant's members"""
        return current.services.members.list(current.ctx, tenant, page)

    @blp.arguments(MemberAddSchema, example={"username": "maria", "role": "operator"})
    @blp.response(201, MemberSchema)
    def post(self, given: dict[str, Any], tenant: str) -> Member:
        """Make a user a member, or give a member another role"""
        return current.services.members.add(current.ctx, tenant, given["username"], given["role"])


class MemberView(MethodView):
    @blp.response(204)
    def delete(self, tenant: str, user: str) -> None:
        """Take a member out of a tenant"""
        current.services.members.remove(current.ctx, tenant, user)


class QuotaView(MethodView):
    @blp.arguments(WhoseQuotaSchema, location="query")
    @blp.response(200, QuotaSchema)
    def get(self, query: dict[str, str | None], tenant: str) -> Mapping[str, int | None]:
        """Show the limits of a tenant, or of one member in it"""
        return current.services.quotas.get(current.ctx, tenant, query["user"])

    @blp.arguments(WhoseQuotaSchema, location="query")
    @blp.arguments(QuotaSchema, example={"cores": 64, "memory": None})
    @blp.response(200, QuotaSchema)
    def put(self, query: dict[str, str | None], given: dict[str, Any], tenant: str) -> Mapping[str, int | None]:
        """Change the limits that are named, of a tenant or of one member in it"""
        return current.services.quotas.put(current.ctx, tenant, limits(given), query["user"])


class UsageView(MethodView):
    @blp.response(200, UsageSchema)
    def get(self, tenant: str) -> Usage:
        """Show what a tenant uses, allocated and running apart, in all and by user"""
        return current.services.quotas.usage(current.ctx, tenant)


class AccessView(MethodView):
    @blp.response(200, TenantAccessSchema)
    def get(self, tenant: str) -> TenantAccess:
        """Show what a tenant may do by our policy and by PVE, every difference marked"""
        return current.services.access.explain(current.ctx, tenant)
