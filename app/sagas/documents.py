"""Results of operations as the API shows them."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.domain.firewall import SecurityGroup
from app.domain.tenants import Tenant


def tenant_document(tenant: Tenant) -> dict[str, Any]:
    """TENANT, JSON values only."""
    document = dataclasses.asdict(tenant)
    document["created_at"] = tenant.created_at.isoformat().replace("+00:00", "Z")
    return document


def security_group_document(group: SecurityGroup) -> dict[str, Any]:
    """As the API shows it: its rules are for every card, and name no other group."""
    document = dataclasses.asdict(group)
    document["rules"] = [{n: v for n, v in rule.items() if n not in ("iface", "group")} for rule in document["rules"]]
    document["created_at"] = group.created_at.isoformat().replace("+00:00", "Z")
    return document
