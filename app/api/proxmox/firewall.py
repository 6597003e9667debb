"""The firewall in front of a guest of either kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from flask import Response, request
from flask.views import MethodView

from app import current
from app.api import json
from app.api.conventions import blp, expected_etags
from app.api.schemas.firewall import (
    FirewallOptionsChangeSchema,
    FirewallOptionsSchema,
    FirewallRuleQuerySchema,
    FirewallRuleSchema,
    NewRule,
    RuleChange,
    RuleChangeSchema,
    RuleCreateSchema,
)
from app.api.schemas.lists import page_of
from app.domain.guests import GuestKind
from app.domain.operations import Operation
from app.domain.paging import PageRequest, numbered

_ETAG = {"ETag": {"schema": {"type": "string"}}}


class EnableView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.accepted()
    def post(self, guest: str) -> Operation:
        """Switch a guest's firewall on, at each of its network cards, too"""
        return current.services.firewalls.set_options(current.ctx, self.kind, guest, {"enable": True}, None)


class OptionsView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.response(200, FirewallOptionsSchema, headers=_ETAG)
    def get(self, guest: str) -> Response:
        """Show the options of a guest's firewall"""
        options = current.services.firewalls.options(current.ctx, self.kind, guest)
        return _tagged(asdict(options), options.digest)

    @blp.arguments(FirewallOptionsChangeSchema, example={"enable": True, "policy_in": "DROP", "dhcp": True})
    @blp.accepted(if_match=True)
    def put(self, wanted: Mapping[str, bool | str | None], guest: str) -> Operation:
        """Change the options of a guest's firewall; what is left out stays as it is"""
        return current.services.firewalls.set_options(current.ctx, self.kind, guest, wanted, expected_etags())


class RulesView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(FirewallRuleQuerySchema, location="query")
    @blp.response(200, page_of(FirewallRuleSchema), headers=_ETAG)
    def get(self, page: PageRequest, guest: str) -> Response:
        """List a guest's firewall rules by position; the first that fits decides"""
        found = current.services.firewalls.rules(current.ctx, self.kind, guest)
        rows = [{"pos": at, **asdict(rule), "digest": found.digest} for at, rule in enumerate(found.rules)]
        return _tagged(asdict(numbered(rows, page)), found.digest)

    @blp.arguments(RuleCreateSchema, example={"type": "in", "action": "ACCEPT", "macro": "SSH", "comment": "log in"})
    @blp.accepted(if_match=True)
    def post(self, new: NewRule, guest: str) -> Operation:
        """Add a firewall rule, on top or at `pos`"""
        return current.services.firewalls.add_rule(current.ctx, self.kind, guest, new.rule, new.pos, expected_etags())


class RuleView(MethodView):
    kind: ClassVar[GuestKind]

    @blp.arguments(RuleChangeSchema, example={"enable": False})
    @blp.accepted(if_match=True)
    def put(self, change: RuleChange, guest: str, pos: str) -> Operation:
        """Change the firewall rule at a position, or move it to another one; what is left out stays as it is"""
        return current.services.firewalls.change_rule(
            current.ctx, self.kind, guest, int(pos), change.wanted, change.pos, expected_etags()
        )

    @blp.accepted(if_match=True)
    def delete(self, guest: str, pos: str) -> Operation:
        """Delete the firewall rule at a position"""
        return current.services.firewalls.delete_rule(current.ctx, self.kind, guest, int(pos), expected_etags())


def _tagged(document: Any, digest: str) -> Response:
    answer = json.answer(document)
    answer.set_etag(digest)
    answer.make_conditional(request)
    return answer


VIEWS: Mapping[str, type[MethodView]] = {
    "/<guest>/firewall/enable": EnableView,
    "/<guest>/firewall/options": OptionsView,
    "/<guest>/firewall/rules": RulesView,
    "/<guest>/firewall/rules/<pos>": RuleView,
}
