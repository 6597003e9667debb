"""Results of operations as the API shows them."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.domain.tenants import Tenant


def tenant_document(tenant: Tenant) -> dict[str, Any]:
    """TENANT, JSON values only."""
    document = dataclasses.asdict(tenant)
    document["created_at"] = tenant.created_at.isoformat().replace("+00:00", "Z")
    return document
