"""Plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.plans import (
    PlanChangedSchema,
    PlanCreateSchema,
    PlanQuerySchema,
    PlanSchema,
    PlanUpdateSchema,
    TenantPlanSchema,
)
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.plans import Plan, PlanSpec


class PlansView(MethodView):
    @blp.pages(PlanSchema, PlanQuerySchema)
    def get(self, page: PageRequest) -> Page[Plan]:
        """List the plans that my tenants and my group have; administrators: all"""
        return current.services.plans.list(current.ctx, page)

    @blp.arguments(
        PlanCreateSchema, example={"name": "course", "limits": {"guests": 4, "cores": 8, "memory": 8192}}
    )  # fmt: skip
    @blp.response(201, PlanSchema)
    def post(self, spec: PlanSpec) -> Plan:
        """Write a plan (administrators)"""
        return current.services.plans.create(current.ctx, spec)


class PlanView(MethodView):
    @blp.response(200, PlanSchema)
    def get(self, plan: str) -> Plan:
        """Show a plan, by id or name"""
        return current.services.plans.get(current.ctx, plan)

    @blp.arguments(PlanUpdateSchema, example={"limits": {"cores": 16}})
    @blp.response(200, PlanChangedSchema)
    def put(self, change: dict[str, Any], plan: str) -> Mapping[str, Any]:
        """Change a plan for all to whom it is given; what is left out stays (administrators)"""
        changed = current.services.plans.change(current.ctx, plan, change)
        return {**vars(changed.plan), "operations": changed.operations}

    @blp.response(204)
    def delete(self, plan: str) -> None:
        """Delete a plan that no tenant and no group has (administrators)"""
        current.services.plans.delete(current.ctx, plan)


class TenantPlanView(MethodView):
    @blp.arguments(TenantPlanSchema, example={"plan": None})
    @blp.accepted()
    def put(self, given: dict[str, str | None], tenant: str) -> Operation:
        """Give a tenant a plan; null: it keeps what it has, as its own (administrators)"""
        return current.services.plans.give(current.ctx, tenant, given["plan"])
