"""Members: who may change them, and what others may learn from trying."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa

from app.db.models import Tenant
from app.domain.access import TenantRole, UserRole
from app.domain.errors import AppError, Invalid
from app.domain.paging import PageRequest
from tests.db import contenders
from tests.services.conftest import Access

OWNER, OPERATOR, VIEWER = TenantRole.OWNER, TenantRole.OPERATOR, TenantRole.VIEWER


def code_of(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except AppError as error:
        return error.code
    return "ok"


def roles(access: Access, tenant: str) -> dict[str, TenantRole]:
    return {member.username: member.role for member in access.members.list(access.admin, tenant).data}


def test_an_owner_adds_lists_changes_and_removes(access: Access) -> None:
    tenant = access.tenant("physics", maria=OWNER)
    paul, maria = access.add("paul"), access.calls("maria")
    for ref in (tenant, "physics", " PHYSICS"):
        added = access.members.add(maria, ref, " Paul ", VIEWER)
        assert (added.user, added.username, added.role) == (paul.id, "paul", VIEWER)
    assert roles(access, tenant) == {"maria": OWNER, "paul": VIEWER}
    access.members.add(maria, tenant, "paul", OPERATOR)
    assert roles(access, tenant)["paul"] == OPERATOR
    access.members.remove(maria, tenant, paul.id)
    assert code_of(partial(access.members.remove, maria, tenant, paul.id)) == "not_found"
    assert roles(access, tenant) == {"maria": OWNER}


def test_a_user_may_be_in_several_tenants_with_a_role_in_each(access: Access) -> None:
    physics, chemistry = access.tenant("physics", maria=OWNER), access.tenant("chemistry")
    access.members.add(access.admin, chemistry, "maria", VIEWER)
    maria = access.calls("maria")
    assert {name: membership.role for name, membership in maria.memberships.items()} == {
        physics: OWNER,
        chemistry: VIEWER,
    }
    assert code_of(partial(access.members.add, maria, chemistry, "admin", VIEWER)) == "policy.forbidden"


@pytest.mark.parametrize("role", [OPERATOR, VIEWER])
def test_operators_and_viewers_look_but_change_nothing(access: Access, role: TenantRole) -> None:
    tenant = access.tenant("physics", maria=OWNER, paul=role)
    paul = access.calls("paul")
    assert access.members.list(paul, tenant).count == 2
    before = roles(access, tenant)
    for attempt in (
        partial(access.members.add, paul, tenant, "paul", OWNER),
        partial(access.members.remove, paul, tenant, "maria"),
        partial(access.members.remove, paul, tenant, "paul"),
    ):
        assert code_of(attempt) == "policy.forbidden"
    assert roles(access, tenant) == before


def test_l3_a_foreign_tenant_is_not_there(access: Access) -> None:
    foreign = access.tenant("chemistry", anna=OWNER)
    access.tenant("physics", maria=OWNER)
    maria = access.calls("maria")
    refused = []
    for ref in (foreign, "chemistry", str(uuid.uuid4()), "nothing"):
        for attempt in (
            partial(access.members.list, maria, ref),
            partial(access.members.add, maria, ref, "maria", OWNER),
            partial(access.members.add, maria, ref, "nobody", OWNER),
            partial(access.members.remove, maria, ref, "anna"),
        ):
            with pytest.raises(AppError) as caught:
                attempt()
            refused.append((caught.value.code, caught.value.detail, str(caught.value.members)))
    assert len(set(refused)) == 1
    assert refused[0][0] == "not_found"
    assert roles(access, foreign) == {"anna": OWNER}


def test_auditors_read_members_and_change_none(access: Access) -> None:
    tenant = access.tenant("physics", maria=OWNER)
    access.add("auditor", UserRole.AUDITOR)
    auditor = access.calls("auditor")
    assert access.members.list(auditor, tenant).count == 1
    assert code_of(partial(access.members.remove, auditor, tenant, "maria")) == "policy.forbidden"


@pytest.mark.parametrize("name", ["nobody", "", "a\0b", "\ud800", "x" * 5000, "5c469a1b-469e-48a5-af74-81552079bbaa"])
def test_a_name_that_is_nobodys_is_not_found(access: Access, name: str) -> None:
    tenant = access.tenant("physics", maria=OWNER)
    for caller in (access.calls("maria"), access.admin):
        assert code_of(partial(access.members.add, caller, tenant, name, VIEWER)) == "not_found"
        assert code_of(partial(access.members.remove, caller, tenant, name)) == "not_found"


def test_the_last_owner_is_removed_or_demoted_by_an_administrator_only(access: Access) -> None:
    tenant = access.tenant("physics", maria=OWNER, paul=OPERATOR)
    maria, admin = access.calls("maria"), access.admin
    assert code_of(partial(access.members.remove, maria, tenant, "maria")) == "tenant.last_owner"
    assert code_of(partial(access.members.add, maria, tenant, "maria", VIEWER)) == "tenant.last_owner"
    assert code_of(partial(access.members.add, maria, tenant, "maria", OWNER)) == "ok"
    access.members.add(maria, tenant, "paul", OWNER)
    access.members.add(maria, tenant, "maria", VIEWER)
    access.members.remove(admin, tenant, "paul")
    assert roles(access, tenant) == {"maria": VIEWER}


def test_owners_who_leave_at_once_leave_one(access: Access) -> None:
    tenant = access.tenant("physics", maria=OWNER, paul=OWNER, anna=OWNER)
    leaving = [partial(access.members.remove, access.calls(name), tenant, name) for name in ("maria", "paul", "anna")]
    outcomes = contenders.at_once([partial(code_of, leave) for leave in leaving])
    assert sorted(outcomes) == ["ok", "ok", "tenant.last_owner"]
    assert list(roles(access, tenant).values()) == [OWNER]


def test_a_suspended_tenants_owner_changes_no_members(access: Access) -> None:
    tenant = access.tenant("physics", maria=OWNER, paul=VIEWER)
    log_in = access.log_in("maria")
    with access.db.begin() as tx:
        tx.execute(sa.update(Tenant).values(suspended=True))
    maria = access.context(log_in)
    assert code_of(partial(access.members.remove, maria, tenant, "paul")) == "tenant.suspended"
    assert access.members.list(maria, tenant).count == 2


def test_members_come_in_pages_by_name(access: Access) -> None:
    tenant = access.tenant("physics", maria=OWNER, Paul=VIEWER, anna=OPERATOR)
    admin = access.admin
    page = access.members.list(admin, tenant, PageRequest(limit=2))
    assert ([member.username for member in page.data], page.count) == (["anna", "maria"], 3)
    rest = access.members.list(admin, tenant, PageRequest(limit=2, cursor=page.next))
    assert [member.username for member in rest.data] == ["Paul"]
    with pytest.raises(Invalid):
        access.members.list(admin, tenant, PageRequest(sort="secret"))
    with pytest.raises(Invalid):
        access.members.list(admin, tenant, PageRequest(cursor="nonsense"))
