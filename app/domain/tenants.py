"""A tenant: a pool, a PVE user, its rights and its quota."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.domain.access import Privilege, TenantRole, UserRole
from app.domain.identifiers import BridgeName, StorageId


class TenantState(StrEnum):
    CREATING = "creating"
    ACTIVE = "active"
    DELETING = "deleting"


def canonical_name(name: str) -> str:
    """Two spellings of one name are one name: compatibility forms, case, spaces and the dot of i are folded.

    Idempotent: a letter with two accents (Greek Ϊ́) only meets its small form once the first pass is composed.
    """
    for _ in range(2):
        name = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(name.replace("i\u0307", "i").replace("\u0131", "i").split())


@dataclass(frozen=True)
class TenantSpec:
    """`storages` and `bridges` None means: all that the cluster has. `quota` names limits; null is unlimited."""

    name: str
    comment: str = ""
    cluster: str | None = None
    plan: str | None = None
    storages: tuple[StorageId, ...] | None = None
    bridges: tuple[BridgeName, ...] | None = None
    quota: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class TenantChanges:
    comment: str | None = None
    suspended: bool | None = None


@dataclass(frozen=True)
class Tenant:
    """`quota` and `usage` have every dimension; a limit of None is unlimited; `plan` is a name."""

    id: str
    name: str
    poolid: str
    pve_user: str
    cluster: str
    state: TenantState
    suspended: bool
    comment: str
    quota: Mapping[str, int | None]
    usage: Mapping[str, int]
    storages: Sequence[str]
    bridges: Sequence[str]
    plan: str | None
    created_at: datetime


@dataclass(frozen=True)
class PoolMember:
    id: str
    vmid: int
    kind: str
    name: str
    node: str
    state: str


@dataclass(frozen=True)
class Pool:
    """A tenant's pool, and the guests in it by their numbers."""

    tenant: Tenant
    members: Sequence[PoolMember]


@dataclass(frozen=True)
class Member:
    user: str
    username: str
    role: TenantRole


@dataclass(frozen=True)
class ActionRights:
    """One action of ours: the roles that have it now, and PVE's privileges that it needs and that are missing."""

    action: str
    roles: Sequence[str]
    needs: Sequence[str]
    missing: Sequence[str]


@dataclass(frozen=True)
class PathRights:
    """The privileges that the tenant's token should have on one of PVE's paths, and has."""

    path: str
    expected: Sequence[str]
    actual: Sequence[str]
    missing: Sequence[str]
    excess: Sequence[str]

    @property
    def differs(self) -> bool:
        return bool(self.missing or self.excess)


@dataclass(frozen=True)
class TenantAccess:
    """`token_accepted`: PVE takes the tenant's token at all; where it does not, everything is missing. `outside` counts
    the paths that the token reaches and that are none of the tenant's; not everybody is told which."""

    tenant: str
    pve_user: str
    suspended: bool
    token_accepted: bool
    actions: Sequence[ActionRights]
    paths: Sequence[PathRights]
    outside: int

    @property
    def differs(self) -> bool:
        return self.outside > 0 or any(path.differs for path in self.paths)


@dataclass(frozen=True)
class User:
    id: str
    username: str
    role: UserRole
    disabled: bool
    created_at: datetime


@dataclass(frozen=True)
class Usage:
    """Allocated and running are counted apart; `users` is the same for each user who has guests in the tenant, with his
    own limits in it, member (`role`) or not: their sum is what is allocated."""

    quota: Mapping[str, int | None]
    allocated: Mapping[str, int]
    running: Mapping[str, int]
    users: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class ApiKeySpec:
    """`tenant` None: the caller's only one; `expires_at` None: never."""

    name: str
    actions: frozenset[Privilege]
    tenant: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class ApiKey:
    """`prefix` is how the secret begins; `last_used_at` is right to a minute."""

    id: str
    name: str
    tenant: str
    prefix: str
    actions: Sequence[str]
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class LogIn:
    """A log-in session as the token maker needs it. `refresh_id` is good for one refresh."""

    session: str
    refresh_id: str
    user: User
    tenants: Sequence[Mapping[str, str]]
    quota: Mapping[str, Mapping[str, int | None]]
