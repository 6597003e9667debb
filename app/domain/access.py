"""Who may: roles, privileges, and a caller as each request finds him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class UserRole(StrEnum):
    """What a user is in the whole house."""

    ADMIN = "admin"
    AUDITOR = "auditor"
    USER = "user"


class TenantRole(StrEnum):
    """What a member is in one tenant."""

    OWNER = "owner"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Privilege(StrEnum):
    """What a service method asks for; `policy.rules` says which role has it."""

    GUEST_AUDIT = "guest.audit"
    GUEST_ALLOCATE = "guest.allocate"
    GUEST_POWER = "guest.power"
    GUEST_MIGRATE = "guest.migrate"
    TENANT_AUDIT = "tenant.audit"
    TENANT_ALLOCATE = "tenant.allocate"
    TENANT_MODIFY = "tenant.modify"
    MEMBER_MODIFY = "member.modify"
    QUOTA_MODIFY = "quota.modify"
    OPERATION_AUDIT = "operation.audit"
    OPERATION_CANCEL = "operation.cancel"
    OPERATION_RESOLVE = "operation.resolve"
    TEMPLATE_AUDIT = "template.audit"
    TEMPLATE_MODIFY = "template.modify"
    USER_AUDIT = "user.audit"
    USER_MODIFY = "user.modify"
    CLUSTER_AUDIT = "cluster.audit"
    STORAGE_MODIFY = "storage.modify"
    DRIFT_MODIFY = "drift.modify"
    FIREWALL_MODIFY = "firewall.modify"
    PLAN_MODIFY = "plan.modify"


#: What an API key can be made for. Not members: with a stolen key somebody could make himself an owner for good.
KEY_ACTIONS = frozenset(
    {
        Privilege.GUEST_AUDIT, Privilege.GUEST_ALLOCATE, Privilege.GUEST_POWER, Privilege.TENANT_AUDIT,
        Privilege.TENANT_MODIFY, Privilege.OPERATION_AUDIT, Privilege.OPERATION_CANCEL, Privilege.TEMPLATE_AUDIT,
    }
)  # fmt: skip

#: How every API key begins, so that it is never taken for a JWT, and is found where it was leaked.
KEY_MARK = "phk_"


@dataclass(frozen=True)
class Membership:
    tenant: str
    name: str
    role: TenantRole
    suspended: bool


@dataclass(frozen=True)
class Caller:
    """A logged-in user. `session` is his log-in; it is looked up on every request, so that its end counts at once."""

    user: str
    username: str
    role: UserRole
    session: str


@dataclass(frozen=True)
class TenantScope:
    """The tenants whose rows a caller may see; every query takes one first. `tenants` None means all of them."""

    tenants: frozenset[str] | None

    def contains(self, tenant: str | None) -> bool:
        return self.tenants is None or tenant in self.tenants


EVERY_TENANT = TenantScope(None)


@dataclass(frozen=True)
class IdempotencyKey:
    """`fingerprint` is a digest of method, path and body: the same key with another one is a mistake.

    A key is its user's, in one tenant: `tenant` is the tenant or pool as the request names it, empty where none is.
    """

    key: str
    fingerprint: str
    tenant: str = ""


@dataclass(frozen=True)
class ApiKeyScope:
    """The API key that a request came with. Its tenant is the only one that the caller is a member of then."""

    id: str
    prefix: str
    actions: frozenset[Privilege]


@dataclass(frozen=True)
class Context:
    """One request: who calls, what he is member of (the oldest membership first), from where, under which request id;
    `key` None: by a log-in."""

    caller: Caller
    memberships: Mapping[str, Membership]
    request_id: str
    address: str
    key: ApiKeyScope | None = None

    @property
    def actor(self) -> str:
        """Who does it, for the audit log."""
        return self.caller.username if self.key is None else f"{self.caller.username} ({self.key.prefix})"

    @property
    def repeater(self) -> str:
        """Whose idempotency keys are meant: an answer that one API key was given is not another's, which may be
        allowed less."""
        return self.caller.user if self.key is None else self.key.id
