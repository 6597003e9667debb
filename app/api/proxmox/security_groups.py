"""Security groups of the clusters' firewalls."""

from __future__ import annotations

from collections.abc import Mapping

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.firewall import (
    SecurityGroupChangeSchema,
    SecurityGroupCreateSchema,
    SecurityGroupQuerySchema,
    SecurityGroupSchema,
)
from app.domain.firewall import SecurityGroup, SecurityGroupChange, SecurityGroupSpec
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest

_RULES = [{"type": "in", "action": "ACCEPT", "macro": "HTTPS"}, {"type": "in", "action": "ACCEPT", "macro": "HTTP"}]


class SecurityGroupsView(MethodView):
    @blp.pages(SecurityGroupSchema, SecurityGroupQuerySchema)
    def get(self, page: PageRequest) -> Page[SecurityGroup]:
        """List security groups: those that are published to you"""
        return current.services.security_groups.list(current.ctx, page)

    @blp.arguments(SecurityGroupCreateSchema, example={"name": "web", "rules": _RULES, "published": True})
    @blp.accepted()
    def post(self, spec: SecurityGroupSpec) -> Operation:
        """Make a security group; administrators only"""
        return current.services.security_groups.create(current.ctx, spec)


class SecurityGroupView(MethodView):
    @blp.response(200, SecurityGroupSchema)
    def get(self, group: str) -> SecurityGroup:
        """Show a security group, by id or name"""
        return current.services.security_groups.get(current.ctx, group)

    @blp.arguments(SecurityGroupChangeSchema, example={"rules": _RULES[:1], "published": False})
    @blp.accepted()
    def put(self, change: SecurityGroupChange, group: str) -> Operation:
        """Change a security group for all who use it; what is left out stays; administrators only"""
        return current.services.security_groups.change(current.ctx, group, change)

    @blp.accepted()
    def delete(self, group: str) -> Operation:
        """Delete a security group; rules that name it mean nothing any more; administrators only"""
        return current.services.security_groups.delete(current.ctx, group)


VIEWS: Mapping[str, type[MethodView]] = {
    "/security-groups": SecurityGroupsView,
    "/security-groups/<group>": SecurityGroupView,
}
