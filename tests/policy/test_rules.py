"""Who may do what, as one table: a role, and everything that it allows."""

from __future__ import annotations

import pytest

from app.domain.access import Caller, Context, Membership, Privilege, TenantRole, UserRole
from app.domain.errors import AppError, Forbidden, NotFound
from app.policy import rules

MINE, OTHERS = "mine", "others"

LOOK = {"guest.audit", "tenant.audit", "operation.audit", "template.audit"}
OPERATE = {*LOOK, "guest.allocate", "guest.power", "operation.cancel"}
OWN = {*OPERATE, "member.modify", "tenant.modify", "storage.modify"}
AUDIT = {*LOOK, "user.audit", "cluster.audit"}
CATALOG = {"template.audit"}
EVERYTHING = {str(privilege) for privilege in Privilege}

#: role in the house, role in the tenant, suspended -> allowed in it, in a tenant of others, in the whole house
TABLE = [
    ("user", "viewer", False, LOOK, CATALOG, CATALOG),
    ("user", "operator", False, OPERATE, CATALOG, CATALOG),
    ("user", "owner", False, OWN, CATALOG, CATALOG),
    ("user", "viewer", True, LOOK, CATALOG, CATALOG),
    ("user", "operator", True, LOOK, CATALOG, CATALOG),
    ("user", "owner", True, LOOK, CATALOG, CATALOG),
    ("user", None, False, CATALOG, CATALOG, CATALOG),
    ("auditor", None, False, AUDIT, AUDIT, AUDIT),
    ("auditor", "operator", False, AUDIT | OPERATE, AUDIT, AUDIT),
    ("auditor", "operator", True, AUDIT, AUDIT, AUDIT),
    ("admin", None, False, EVERYTHING, EVERYTHING, EVERYTHING),
    ("admin", "viewer", True, EVERYTHING, EVERYTHING, EVERYTHING),
]


def context(role: str, in_tenant: str | None = None, *, suspended: bool = False) -> Context:
    memberships = {}
    if in_tenant is not None:
        memberships[MINE] = Membership(MINE, "mine", TenantRole(in_tenant), suspended)
    return Context(Caller("id", "maria", UserRole(role), "session"), memberships, "request", "127.0.0.1")


def allowed(ctx: Context, on: str | None) -> set[str]:
    found = set()
    for privilege in Privilege:
        try:
            rules.require(ctx, privilege, on=on)
        except AppError:
            continue
        found.add(str(privilege))
    return found


@pytest.mark.parametrize(("role", "in_tenant", "suspended", "mine", "others", "house"), TABLE)
def test_what_a_role_allows(
    role: str, in_tenant: str | None, suspended: bool, mine: set[str], others: set[str], house: set[str]
) -> None:
    ctx = context(role, in_tenant, suspended=suspended)
    assert allowed(ctx, MINE) == mine
    assert allowed(ctx, OTHERS) == others
    assert allowed(ctx, None) == house


def test_every_role_is_in_the_table() -> None:
    assert {row[0] for row in TABLE} == set(UserRole) == set(rules.EVERYWHERE)
    assert {row[1] for row in TABLE} - {None} == set(TenantRole) == set(rules.IN_TENANT)


def test_l3_a_tenant_that_cannot_be_seen_is_not_found_rather_than_forbidden() -> None:
    for privilege in set(Privilege) - {Privilege.TEMPLATE_AUDIT}:
        with pytest.raises(NotFound):
            rules.require(context("user", "owner"), privilege, on=OTHERS)


def test_what_is_seen_and_not_allowed_is_forbidden() -> None:
    for ctx, on in ((context("user", "viewer"), MINE), (context("auditor"), OTHERS), (context("user"), None)):
        with pytest.raises(Forbidden) as caught:
            rules.require(ctx, Privilege.GUEST_ALLOCATE, on=on)
        assert caught.value.code == "policy.forbidden"
        assert caught.value.remedy is not None


def test_a_suspended_tenant_is_told_to_be_suspended() -> None:
    with pytest.raises(Forbidden) as caught:
        rules.require(context("user", "owner", suspended=True), Privilege.GUEST_POWER, on=MINE)
    assert caught.value.code == "tenant.suspended"


@pytest.mark.parametrize(
    ("role", "in_tenant", "sees"),
    [
        ("user", None, set()),
        ("user", "viewer", {MINE}),
        ("auditor", None, {MINE, OTHERS}),
        ("admin", "viewer", {MINE, OTHERS}),
    ],
)
def test_l17_queries_return_only_visible_tenants(role: str, in_tenant: str | None, sees: set[str]) -> None:
    scope = rules.visible(context(role, in_tenant))
    assert {tenant for tenant in (MINE, OTHERS) if scope.contains(tenant)} == sees


def test_l20_nobody_below_an_administrator_changes_quota_users_or_tenants_of_the_house() -> None:
    raising = {Privilege.QUOTA_MODIFY, Privilege.USER_MODIFY, Privilege.TENANT_ALLOCATE, Privilege.OPERATION_RESOLVE}
    for role, in_tenant, *_ in TABLE:
        if role != "admin":
            ctx = context(role, in_tenant)
            assert raising.isdisjoint(allowed(ctx, MINE) | allowed(ctx, OTHERS) | allowed(ctx, None))
