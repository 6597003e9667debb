"""Who may do what: role -> privileges, and the two questions that services ask.

`visible` is what a caller's queries may return at all: whatever lies outside is `NotFound`, as if it were not there.
`require` is asked about what he can see: without the privilege it is `Forbidden`.
"""

from __future__ import annotations

from app.domain.access import EVERY_TENANT, Context, Privilege, TenantRole, TenantScope, UserRole
from app.domain.errors import Forbidden, NotFound

_READ = frozenset({Privilege.GUEST_AUDIT, Privilege.TENANT_AUDIT, Privilege.OPERATION_AUDIT, Privilege.TEMPLATE_AUDIT})
_OPERATE = _READ | {Privilege.GUEST_ALLOCATE, Privilege.GUEST_POWER, Privilege.OPERATION_CANCEL}

IN_TENANT: dict[TenantRole, frozenset[Privilege]] = {
    TenantRole.VIEWER: _READ,
    TenantRole.OPERATOR: _OPERATE,
    TenantRole.OWNER: _OPERATE | {Privilege.MEMBER_MODIFY, Privilege.TENANT_MODIFY},
}

EVERYWHERE: dict[UserRole, frozenset[Privilege]] = {
    UserRole.ADMIN: frozenset(Privilege),
    UserRole.AUDITOR: _READ | {Privilege.USER_AUDIT, Privilege.CLUSTER_AUDIT},
    UserRole.USER: frozenset({Privilege.TEMPLATE_AUDIT}),
}

#: What a suspended tenant's members may still do: look.
_SUSPENDED = _READ


def visible(ctx: Context) -> TenantScope:
    """The tenants whose rows this caller's queries may return."""
    if Privilege.TENANT_AUDIT in EVERYWHERE[ctx.caller.role]:
        return EVERY_TENANT
    return TenantScope(frozenset(ctx.memberships))


def require(ctx: Context, privilege: Privilege, *, on: str | None = None) -> None:
    """Raises unless the caller has `privilege` on the tenant `on` (an id), or in the whole house where `on` is None.

    Raises NotFound for a tenant that he cannot see, Forbidden for one that he can.
    """
    if privilege in EVERYWHERE[ctx.caller.role]:
        return
    membership = ctx.memberships.get(on) if on else None
    if membership is None:
        if on is not None and not visible(ctx).contains(on):
            raise NotFound
        raise Forbidden("Your role does not allow this.", remedy="Ask an administrator.")
    if membership.suspended and privilege not in _SUSPENDED:
        raise Forbidden("This tenant is suspended.", code="tenant.suspended", remedy="Ask an administrator.")
    if privilege not in IN_TENANT[membership.role]:
        raise Forbidden(f"A {membership.role} may not do this.", remedy="Ask an owner of the tenant.")
