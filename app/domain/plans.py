"""What a plan allows, and the groups to which it applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.identifiers import BridgeName, StorageId


@dataclass(frozen=True)
class PlanSpec:
    """`limits` by dimension, None or left out is unlimited. `storages`, `bridges` and `flavors` (ids or names) None:
    nothing is said about them. A default is what is taken where a request names none; `vlan` None: no tag."""

    name: str
    description: str = ""
    limits: Mapping[str, int | None] = field(default_factory=dict)
    storages: tuple[StorageId, ...] | None = None
    default_storage: StorageId | None = None
    bridges: tuple[BridgeName, ...] | None = None
    default_bridge: BridgeName | None = None
    vlan: int | None = None
    flavors: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """`limits` has every dimension; `flavors` are names."""

    id: str
    name: str
    description: str
    limits: Mapping[str, int | None]
    storages: Sequence[str] | None
    default_storage: str | None
    bridges: Sequence[str] | None
    default_bridge: str | None
    vlan: int | None
    flavors: Sequence[str] | None
    created_at: datetime


@dataclass(frozen=True)
class PlanChanged:
    """`operations` are the ids of those that bring PVE after, one for each tenant whose grants change."""

    plan: Plan
    operations: Sequence[str]


@dataclass(frozen=True)
class GroupSpec:
    """`plan` is an id or name."""

    name: str
    description: str = ""
    plan: str | None = None
    ldap_filter: str | None = None


@dataclass(frozen=True)
class Group:
    """`plan` is a name."""

    id: str
    name: str
    description: str
    plan: str | None
    ldap_filter: str | None
    user_count: int
    tenant_count: int
    created_at: datetime


@dataclass(frozen=True)
class GroupChanged:
    """As a PlanChanged."""

    group: Group
    operations: Sequence[str]
