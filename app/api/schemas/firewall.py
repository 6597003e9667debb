"""The firewall in front of a guest."""

from __future__ import annotations

import dataclasses
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.api.schemas.fields import Choice, Flag, Moment, Named, Schema, Several, Text, Whole
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.firewall import (
    LogLevel,
    Rule,
    RuleAction,
    RuleType,
    SecurityGroupChange,
    SecurityGroupSpec,
    SecurityGroupState,
)
from app.domain.identifiers import SecurityGroupName
from app.policy.firewall import PROTOCOLS

_LAST = 10_000


class FirewallOptionsSchema(Schema):
    """Null: not set, so PVE's own default holds. `digest` is also the ETag."""

    enable = fields.Boolean(required=True, allow_none=True)
    policy_in = fields.String(required=True, allow_none=True, metadata={"description": "For what no rule decides."})
    policy_out = fields.String(required=True, allow_none=True)
    dhcp = fields.Boolean(required=True, allow_none=True, metadata={"description": "DHCP passes."})
    ndp = fields.Boolean(required=True, allow_none=True, metadata={"description": "Neighbour discovery passes."})
    radv = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "It may send router advertisements."}
    )
    macfilter = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "It sends as its own MAC only."}
    )
    ipfilter = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "It sends from its own IP only."}
    )
    log_level_in = fields.String(required=True, allow_none=True)
    log_level_out = fields.String(required=True, allow_none=True)
    digest = fields.String(required=True)


def _flag(told: str) -> Flag:
    return Flag(allow_none=True, metadata={"description": told})


class FirewallOptionsChangeSchema(Schema):
    """What is left out stays; null: PVE's default again."""

    enable = _flag("On: at each network card, too.")
    policy_in = Choice(RuleAction, allow_none=True)
    policy_out = Choice(RuleAction, allow_none=True)
    dhcp = _flag("Let DHCP pass.")
    ndp = _flag("Let neighbour discovery pass.")
    radv = _flag("Let it send router advertisements.")
    macfilter = _flag("Let it send as its own MAC only.")
    ipfilter = _flag("Let it send from its own IP only.")
    log_level_in = Choice(LogLevel, allow_none=True)
    log_level_out = Choice(LogLevel, allow_none=True)

    @validates_schema
    def check_any(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("must name something to change")


class FirewallRuleSchema(Schema):
    """The first rule that fits decides. `digest` is that of all rules, and also the ETag."""

    pos = fields.Integer(required=True)
    type = fields.String(required=True, validate=validate.OneOf([*RuleType]))
    action = fields.String(required=True, allow_none=True)
    group = fields.String(required=True, allow_none=True, metadata={"description": "Whose rules stand here."})
    enable = fields.Boolean(required=True)
    macro = fields.String(required=True, allow_none=True)
    iface = fields.String(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)
    dest = fields.String(required=True, allow_none=True)
    proto = fields.String(required=True, allow_none=True)
    sport = fields.String(required=True, allow_none=True)
    dport = fields.String(required=True, allow_none=True)
    icmp_type = fields.String(required=True, allow_none=True)
    log = fields.String(required=True, allow_none=True)
    comment = fields.String(required=True, allow_none=True)
    digest = fields.String(required=True)


class FirewallRuleQuerySchema(PageQuerySchema):
    pass


@dataclasses.dataclass(frozen=True)
class NewRule:
    rule: Rule
    pos: int | None


@dataclasses.dataclass(frozen=True)
class RuleChange:
    wanted: dict[str, Any]
    pos: int | None


def _text(most: int, told: str = "") -> Text:
    return Text(least=1, most=most, allow_none=True, metadata={"description": told} if told else {})


class RuleFieldsSchema(Schema):
    """What rules of guests and of security groups have in common."""

    action = Choice(RuleAction, allow_none=True)
    macro = _text(40, "A service that PVE knows, as SSH or HTTPS: its protocol and ports.")
    source = _text(512, "Addresses, networks and ranges, separated by commas.")
    dest = _text(512, "As `source`.")
    proto = Text(allow_none=True, validate=validate.OneOf(PROTOCOLS))
    sport = _text(128, "Ports and ranges, as 80,443,8000:8080.")
    dport = _text(128, "As `sport`.")
    icmp_type = _text(40, "As echo-request.")
    log = Choice(LogLevel, allow_none=True)
    comment = Text(most=256, allow_none=True)


def _known(data: dict[str, Any]) -> dict[str, Any]:
    """PVE keeps no blanks around a comment, and no empty one."""
    if data.get("comment") is not None:
        data["comment"] = data["comment"].strip() or None
    return data


class GuestRuleFieldsSchema(RuleFieldsSchema):
    iface = _text(6, "Only at this card, as net0.")
    group = Named(SecurityGroupName, metadata={"description": "Of type group: one that is published to you."})


class RuleCreateSchema(GuestRuleFieldsSchema):
    type = Choice(RuleType, metadata={"description": "Needed, but where `group` says it."})
    enable = Flag(load_default=True)
    pos = Whole(0, _LAST, metadata={"description": "Where it goes; on top if left out."})

    @validates_schema
    def check_type(self, data: dict[str, Any], **_: Any) -> None:
        if "type" not in data and data.get("group") is None:
            raise ValidationError("must be in, out or group", "type")

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> NewRule:
        data.setdefault("type", RuleType.GROUP)
        pos = data.pop("pos", None)
        return NewRule(Rule(**_known(data)), pos)


class RuleChangeSchema(GuestRuleFieldsSchema):
    """What is left out stays; null takes it out."""

    type = Choice(RuleType)
    enable = Flag()
    pos = Whole(0, _LAST, metadata={"description": "Where it goes."})

    @validates_schema
    def check_any(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("must name something to change")

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> RuleChange:
        pos = data.pop("pos", None)
        return RuleChange(_known(data), pos)


# -- security groups


class GroupRuleTypeSchema(RuleFieldsSchema):
    type = Text(required=True, validate=validate.OneOf([RuleType.IN, RuleType.OUT]))
    enable = Flag(load_default=True)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Rule:
        return Rule(**_known(data))


def _group_rules() -> Several:
    return Several(
        fields.Nested(GroupRuleTypeSchema), most=100, metadata={"description": "All of them, in their order."}
    )


def _users() -> Several:
    return Several(Text(least=1, most=64), most=1000, metadata={"description": "Who may use it: ids or names."})


class SecurityGroupCreateSchema(Schema):
    makes = SecurityGroupSpec

    name = Named(SecurityGroupName, required=True)
    cluster = Text(least=1, most=64, metadata={"description": "The default cluster if left out."})
    comment = Text(most=255)
    rules = _group_rules()
    published = Flag(metadata={"description": "Every tenant of the cluster may use it."})
    tenants = _users()


class SecurityGroupChangeSchema(Schema):
    """What is left out stays."""

    makes = SecurityGroupChange

    comment = Text(most=255)
    rules = _group_rules()
    published = Flag(metadata={"description": "Every tenant of the cluster may use it."})
    tenants = _users()

    @validates_schema
    def check_any(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("must name something to change")


class GroupRuleSchema(FirewallRuleSchema):
    class Meta:
        exclude = ("pos", "digest", "iface", "group")


class SecurityGroupSchema(Schema):
    """Rules under a name, which guests' rules of type group stand for."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    cluster = fields.String(required=True)
    comment = fields.String(required=True)
    rules = fields.List(fields.Nested(GroupRuleSchema), required=True)
    published = fields.Boolean(required=True, metadata={"description": "To every tenant of the cluster."})
    tenants = fields.List(
        fields.String(), required=True, metadata={"description": "Those of your own that it is published to."}
    )
    state = fields.String(required=True, validate=validate.OneOf([*SecurityGroupState]))
    created_at = Moment(required=True)


class SecurityGroupQuerySchema(PageQuerySchema):
    sort = sort_by("name", "created_at")
