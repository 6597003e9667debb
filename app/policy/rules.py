"""Who may do what: role -> privileges, and the two questions that services ask.

`visible` is what a caller's queries may return at all: whatever lies outside is `NotFound`, as if it were not there.
`require` is asked about what he can see: without the privilege it is `Forbidden`. An API key is its owner in one
tenant, as he is now, and of that only what the key was made for.
"""

from __future__ import annotations

from app.domain.access import EVERY_TENANT, Context, Privilege, TenantRole, TenantScope, UserRole
from app.domain.errors import AppError, Forbidden, Invalid, NotFound

_READ = frozenset({Privilege.GUEST_AUDIT, Privilege.TENANT_AUDIT, Privilege.OPERATION_AUDIT, Privilege.TEMPLATE_AUDIT})
_OPERATE = _READ | {Privilege.GUEST_ALLOCATE, Privilege.GUEST_POWER, Privilege.OPERATION_CANCEL}

IN_TENANT: dict[TenantRole, frozenset[Privilege]] = {
    TenantRole.VIEWER: _READ,
    TenantRole.OPERATOR: _OPERATE,
    TenantRole.OWNER: _OPERATE | {Privilege.MEMBER_MODIFY, Privilege.TENANT_MODIFY, Privilege.STORAGE_MODIFY},
}

EVERYWHERE: dict[UserRole, frozenset[Privilege]] = {
    UserRole.ADMIN: frozenset(Privilege),
    UserRole.AUDITOR: _READ | {Privilege.USER_AUDIT, Privilege.CLUSTER_AUDIT},
    UserRole.USER: frozenset({Privilege.TEMPLATE_AUDIT}),
}

#: What a suspended tenant's members may still do: look.
_SUSPENDED = _READ


#: What begins an operation; who may begin one may follow it.
_BEGINS = frozenset({Privilege.GUEST_ALLOCATE, Privilege.GUEST_POWER, Privilege.OPERATION_CANCEL})


def visible(ctx: Context) -> TenantScope:
    """The tenants whose rows this caller's queries may return."""
    if Privilege.TENANT_AUDIT in EVERYWHERE[ctx.caller.role]:
        return EVERY_TENANT
    return TenantScope(frozenset(ctx.memberships))


def sees_clusters(ctx: Context) -> bool:
    """Whether a cluster as a whole is this caller's to look at, with what no tenant has."""
    return Privilege.CLUSTER_AUDIT in EVERYWHERE[ctx.caller.role] and in_scope(ctx, Privilege.CLUSTER_AUDIT)


def in_tenant(role: TenantRole, *, suspended: bool) -> frozenset[Privilege]:
    """What a member may do in a tenant."""
    return IN_TENANT[role] & _SUSPENDED if suspended else IN_TENANT[role]


def require(ctx: Context, privilege: Privilege, *, on: str | None = None) -> None:
    """Raises unless the caller has `privilege` on the tenant `on` (an id), or in the whole house where `on` is None.

    Raises NotFound for a tenant that he cannot see, Forbidden for one that he can.
    """
    require_scope(ctx, privilege)
    if privilege in EVERYWHERE[ctx.caller.role]:
        return
    membership = ctx.memberships.get(on) if on else None
    if membership is None:
        if on is not None and not visible(ctx).contains(on):
            raise NotFound
        raise Forbidden("Your role does not allow this.", remedy="Ask an administrator.")
    if privilege in in_tenant(membership.role, suspended=membership.suspended):
        return
    if membership.suspended and privilege not in _SUSPENDED:
        raise Forbidden("This tenant is suspended.", code="tenant.suspended", remedy="Ask an administrator.")
    who = "an owner of the tenant" if membership.role != TenantRole.OWNER else "an administrator"
    raise Forbidden(f"As {membership.role} of the tenant you may not do this.", remedy=f"Ask {who}.")


def holding(ctx: Context, privilege: Privilege) -> TenantScope:
    """The tenants in which the caller has it. Raises Forbidden where there is none."""
    refusal: AppError | None = None
    held = set()
    for tenant in sorted(ctx.memberships):
        try:
            require(ctx, privilege, on=tenant)
        except AppError as error:
            refusal = error
        else:
            held.add(tenant)
    if not held and refusal is not None:
        raise refusal
    if not held:
        require(ctx, privilege)
    return TenantScope(frozenset(held))


def is_everywhere(ctx: Context, privilege: Privilege) -> bool:
    """Whether the caller's role in the house has it, in all tenants."""
    return privilege in EVERYWHERE[ctx.caller.role]


def require_scope(ctx: Context, privilege: Privilege) -> None:
    """Raises Forbidden for an API key that was not made for this; lists ask it, which are only ever shorter else."""
    if not in_scope(ctx, privilege):
        raise Forbidden(
            f"This API key was not made for {privilege}.", code="key.scope", remedy="Make a key with this action."
        )


def in_scope(ctx: Context, privilege: Privilege) -> bool:
    if ctx.key is None or privilege in ctx.key.actions:
        return True
    return privilege == Privilege.OPERATION_AUDIT and not _BEGINS.isdisjoint(ctx.key.actions)


def require_log_in(ctx: Context) -> None:
    """Raises Forbidden for an API key: a password, a log-in and other keys are not its business."""
    if ctx.key is not None:
        raise Forbidden("This needs a log-in; an API key is none.", code="key.no_log_in", remedy="Log in.")


def key_role(role: UserRole, member: TenantRole | None) -> TenantRole | None:
    """What a user is in a tenant for the API keys that he has there; `member` is what he is as its member."""
    if role == UserRole.ADMIN:
        return TenantRole.OWNER
    return member or (TenantRole.VIEWER if role == UserRole.AUDITOR else None)


def acting(ctx: Context, tenant: str) -> str:
    """With whose token PVE is asked to work on the guests of `tenant`: always one of the caller's own tenants.

    So the second lock asks who calls, and not whose the guest is: had we let a stranger in, PVE would still refuse him.
    Raises NotFound for who is in no tenant.
    """
    if tenant in ctx.memberships or Privilege.GUEST_AUDIT in EVERYWHERE[ctx.caller.role]:
        return tenant
    own = home(ctx)
    if own is None:
        raise NotFound
    return own


def home(ctx: Context) -> str | None:
    """The tenant of who never names one: the first that he became a member of; None where he is in none."""
    return next(iter(ctx.memberships), None)


def home_for(ctx: Context, privilege: Privilege) -> str:
    """The home tenant of a caller who has `privilege` there. Raises Invalid `tenant.required` for who is in none,
    Forbidden; for who sees all tenants and has it in none it is Forbidden, too."""
    require_scope(ctx, privilege)
    tenant = home(ctx)
    if tenant is None:
        if visible(ctx).tenants is None:
            require(ctx, privilege)
        raise Invalid({"tenant": ["you are in none"]}, code="tenant.required", remedy="Ask an administrator.")
    require(ctx, privilege, on=tenant)
    return tenant


def only_tenant(ctx: Context) -> str:
    """The tenant of who names none. Raises Invalid where he is not in exactly one."""
    if len(ctx.memberships) != 1:
        raise Invalid({"tenant": ["name the tenant or the poolid: you are not in exactly one tenant"]})
    (tenant,) = ctx.memberships
    return tenant
