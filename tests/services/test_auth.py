"""Log-in, and all that ends one."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import argon2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from app.db.models import QuotaLimit, Session, Tenant, User
from app.db.session import Database, now
from app.domain.access import TenantRole, UserRole
from app.domain.errors import AppError, Conflict, Forbidden, Invalid, Unauthenticated
from app.policy import passwords
from app.services.auth import Auth
from tests.db import contenders
from tests.services.conftest import ADDRESS, ADMIN_PASSWORD, PASSWORD, Access

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
any_password = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=140)


def refusal(attempt: Callable[[], object]) -> AppError:
    with pytest.raises(AppError) as caught:
        attempt()
    return caught.value


# -- the first administrator


def test_l54_there_is_no_account_before_one_is_made(access: Access) -> None:
    for name, password in [("admin", "admin"), ("admin", "password"), ("admin", ""), ("root", "root")]:
        assert refusal(partial(access.log_in, name, password)).code == "auth.failed"


def test_l54_the_first_admins_password_is_generated_and_told_once(access: Access) -> None:
    password = access.auth.ensure_first_admin(None)
    assert password is not None
    assert len(password) >= 16
    assert access.log_in("admin", password).user.role == UserRole.ADMIN
    assert access.auth.ensure_first_admin(None) is None
    assert access.auth.ensure_first_admin("another good password") is None
    access.log_in("admin", password)
    assert password not in str([vars(entry) for entry in access.audit()])


def test_l54_the_first_admins_password_may_come_from_outside(access: Access) -> None:
    assert access.auth.ensure_first_admin(ADMIN_PASSWORD) is None
    access.log_in("admin", ADMIN_PASSWORD)


def test_l54_a_bad_password_from_outside_makes_no_admin(access: Access) -> None:
    for bad in ("short", ""):
        with pytest.raises(Invalid):
            access.auth.ensure_first_admin(bad)
    assert access.auth.ensure_first_admin(None)


def test_l54_processes_that_start_at_once_make_one_admin(access: Access) -> None:
    told = contenders.at_once([partial(access.auth.ensure_first_admin, None)] * 4)
    (password,) = [one for one in told if one is not None]
    access.log_in("admin", password)


# -- log-in


@few
@given(password=any_password)
def test_l59_a_password_that_passes_the_policy_can_be_set_and_used(access: Access, password: str) -> None:
    admin = access.admin
    name = f"user{time.monotonic_ns()}"
    create = partial(access.users.create, admin, name, password, UserRole.USER)
    if not 8 <= len(unicodedata.normalize("NFC", password)) <= 128:
        assert list(refusal(create).members["errors"]) == ["password"]
        return
    create()
    for form in ("NFC", "NFD"):
        access.log_in(name, unicodedata.normalize(form, password))


def test_l60_every_refusal_is_the_same(access: Access) -> None:
    admin = access.admin
    access.add("maria", by=admin)
    access.add("gone", by=admin)
    access.users.update(admin, "gone", disabled=True)
    tries = [
        ("maria", "wrong password"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("gone", "wrong password"),
        ("", ""),
        ("ma\0ria", PASSWORD),
        ("\ud800", PASSWORD),
        ("maria", "\ud800" * 9),
        ("maria", PASSWORD + "\0"),
        ("m" * 100_000, PASSWORD),
        ("maria", "x" * 100_000),
    ]
    refused = [refusal(partial(access.log_in, name, password)) for name, password in tries]
    shown = {(type(error), error.code, error.detail, error.remedy, str(error.members)) for error in refused}
    assert len(shown) == 1
    assert refused[0].code == "auth.failed"


def test_l60_every_refusal_does_the_same_work(access: Access) -> None:
    """The decoy that stands in for a missing hash costs what a real one costs; the earlier mistake was 3 ms to 221."""
    admin = access.admin
    access.add("maria", by=admin)
    access.add("gone", by=admin)
    access.users.update(admin, "gone", disabled=True)

    def cost(name: str, password: str) -> float:
        began = time.process_time()
        refusal(partial(access.log_in, name, password))
        return time.process_time() - began

    tries = [("maria", "wrong password"), ("nobody", "wrong password"), ("gone", PASSWORD)]
    costs = [min(cost(*one) for _ in range(4)) for one in tries]
    assert max(costs) < 3 * min(costs)
    kept = argon2.extract_parameters(passwords.hashed(PASSWORD))
    assert argon2.extract_parameters(passwords._DECOY) == kept


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_log_in(access: Access) -> None:
    access.admin  # noqa: B018 -- makes the first administrator
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(ADMIN_PASSWORD)
    with access.db.begin() as tx:
        tx.execute(sa.update(User).values(password_hash=weak))
    access.log_in("admin", ADMIN_PASSWORD)
    with access.db.read() as tx:
        kept = tx.scalars(sa.select(User.password_hash)).one()
    assert kept is not None
    assert not passwords.outdated(kept)
    access.log_in("admin", ADMIN_PASSWORD)


def test_a_user_without_local_password_cannot_log_in_with_any(access: Access) -> None:
    """L56: a directory's users have none, whatever the directory says."""
    access.add("maria")
    with access.db.begin() as tx:
        tx.execute(sa.update(User).where(User.username == "maria").values(password_hash=None))
    for password in ("", PASSWORD, "None"):
        assert refusal(partial(access.log_in, "maria", password)).code == "auth.failed"


def test_log_in_tells_tenants_and_the_quota_of_the_first_one(access: Access) -> None:
    physics = access.tenant("physics", maria=TenantRole.OPERATOR)
    with access.db.begin() as tx:
        tx.add(QuotaLimit(tenant_id=physics, user_id="", dimension="cores", amount=8))
    told = access.log_in("maria")
    assert told.tenants == [{"id": physics, "name": "physics", "role": "operator"}]
    assert told.quota["limit"]["cores"] == 8
    assert told.quota["limit"]["memory"] is None
    assert told.quota["used"]["guests"] == 0
    me = access.auth.me(access.context(told))
    assert (me.user, me.tenants, me.quota) == (told.user, told.tenants, told.quota)

    chemistry = access.tenant("chemistry")
    access.members.add(access.admin, chemistry, "maria", TenantRole.OWNER)
    told = access.log_in("maria")
    assert [tenant["name"] for tenant in told.tenants] == ["chemistry", "physics"]
    assert told.quota == me.quota, "who is in several works in the one that he was in first"


def test_nobody_logs_in_to_suspended_tenants_only(access: Access) -> None:
    access.tenant("physics", maria=TenantRole.OWNER)
    before = access.log_in("maria")
    with access.db.begin() as tx:
        tx.execute(sa.update(Tenant).values(suspended=True))
    assert refusal(partial(access.log_in, "maria")).code == "tenant.suspended"
    assert isinstance(refusal(partial(access.log_in, "maria", "wrong password")), Unauthenticated)
    assert all(membership.suspended for membership in access.context(before).memberships.values())
    access.members.add(access.admin, access.tenant("chemistry"), "maria", TenantRole.VIEWER)
    access.log_in("maria")


def test_authenticate_costs_one_query_and_no_write(access: Access) -> None:
    access.tenant("physics", maria=TenantRole.VIEWER)
    access.members.add(access.admin, access.tenant("chemistry"), "maria", TenantRole.OWNER)
    log_in = access.log_in("maria")
    asked: list[str] = []
    event.listen(access.db.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    context = access.context(log_in)
    assert {membership.name: membership.role for membership in context.memberships.values()} == {
        "physics": TenantRole.VIEWER,
        "chemistry": TenantRole.OWNER,
    }
    statements = [text for text in asked if not text.startswith("BEGIN")]
    assert len(statements) == 1
    assert statements[0].startswith("SELECT")


# -- what ends a log-in


def test_l62_log_out_counts_from_the_next_request(access: Access) -> None:
    access.add("maria")
    here, there = access.log_in("maria"), access.log_in("maria")
    access.auth.log_out(access.context(here))
    assert refusal(partial(access.context, here)).code == "auth.expired"
    assert isinstance(refusal(partial(access.auth.refresh, here.session, here.refresh_id)), Unauthenticated)
    access.context(there)


def test_l62_a_password_change_ends_the_other_log_ins(access: Access) -> None:
    access.add("maria")
    here, there = access.log_in("maria"), access.log_in("maria")
    access.auth.change_password(access.context(here), PASSWORD, "another good password")
    access.context(here)
    assert refusal(partial(access.context, there)).code == "auth.expired"
    assert refusal(partial(access.log_in, "maria")).code == "auth.failed"
    access.log_in("maria", "another good password")


@pytest.mark.parametrize("change", ["disable", "delete", "password"])
def test_l62_what_changes_while_a_password_is_proved_counts(
    access: Access, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The proof takes long and holds no transaction; what it proved must still stand when the log-in is written."""
    access.add("maria")
    admin, prove = access.admin, passwords.proves

    def prove_slowly(password: str, kept: str | None) -> bool:
        proven = prove(password, kept)
        if change == "delete":
            access.users.delete(admin, "maria")
        elif change == "disable":
            access.users.update(admin, "maria", disabled=True)
        else:
            access.users.update(admin, "maria", password="another good password")
        return proven

    monkeypatch.setattr(passwords, "proves", prove_slowly)
    assert refusal(partial(access.log_in, "maria")).code == "auth.failed"
    with access.db.read() as tx:
        assert tx.scalars(sa.select(Session.user_id)).all() == [admin.caller.user] * 2


def test_a_refused_password_change_changes_nothing(access: Access) -> None:
    access.add("maria")
    here, there = access.log_in("maria"), access.log_in("maria")
    wrong = refusal(partial(access.auth.change_password, access.context(here), "wrong password", "another good one"))
    assert isinstance(wrong, Invalid)
    assert set(wrong.members["errors"]) == {"current_password"}
    short = refusal(partial(access.auth.change_password, access.context(here), PASSWORD, "short"))
    assert set(short.members["errors"]) == {"new_password"}
    access.context(there)
    access.log_in("maria")
    assert [entry.result for entry in access.audit() if entry.action == "auth.change_password"] == ["refused"]


@pytest.mark.parametrize("change", ["disable", "delete", "password"])
def test_l62_what_an_administrator_does_counts_from_the_next_request(access: Access, change: str) -> None:
    maria = access.add("maria")
    log_in, admin = access.log_in("maria"), access.admin
    if change == "disable":
        access.users.update(admin, maria.id, disabled=True)
    elif change == "delete":
        access.users.delete(admin, maria.id)
    else:
        access.users.update(admin, maria.id, password="another good password")
    assert refusal(partial(access.context, log_in)).code == "auth.expired"
    assert isinstance(refusal(partial(access.auth.refresh, log_in.session, log_in.refresh_id)), Unauthenticated)
    if change == "disable":
        access.users.update(admin, maria.id, disabled=False)
        assert refusal(partial(access.context, log_in)).code == "auth.expired"


def test_l62_a_removed_role_or_membership_counts_from_the_next_request(access: Access) -> None:
    tenant = access.tenant("physics", maria=TenantRole.OWNER)
    admin = access.admin
    access.users.update(admin, "maria", role=UserRole.ADMIN)
    log_in = access.log_in("maria")
    assert access.context(log_in).caller.role == UserRole.ADMIN
    access.users.update(admin, "maria", role=UserRole.USER)
    assert access.context(log_in).caller.role == UserRole.USER
    access.members.add(admin, tenant, "maria", TenantRole.VIEWER)
    assert access.context(log_in).memberships[tenant].role == TenantRole.VIEWER
    access.members.remove(admin, tenant, "maria")
    assert not access.context(log_in).memberships


def test_l62_a_refresh_token_works_once_and_its_second_use_ends_the_log_in(access: Access) -> None:
    access.add("maria")
    first = access.log_in("maria")
    second = access.auth.refresh(first.session, first.refresh_id)
    assert second.session == first.session
    assert second.refresh_id != first.refresh_id
    third = access.auth.refresh(second.session, second.refresh_id)
    assert refusal(partial(access.auth.refresh, first.session, first.refresh_id)).code == "auth.expired"
    assert refusal(partial(access.auth.refresh, third.session, third.refresh_id)).code == "auth.expired"
    assert refusal(partial(access.context, third)).code == "auth.expired"
    assert ("auth.refresh", "refused") in [(entry.action, entry.result) for entry in access.audit()]


def test_l62_of_many_uses_at_once_one_is_answered(access: Access) -> None:
    access.add("maria")
    log_in = access.log_in("maria")

    def use() -> bool:
        try:
            access.auth.refresh(log_in.session, log_in.refresh_id)
        except Unauthenticated:
            return False
        return True

    assert sum(contenders.at_once([use] * 6)) == 1
    assert refusal(partial(access.context, log_in)).code == "auth.expired"


def test_a_log_in_that_is_not_refreshed_ends(access: Access, database: Database) -> None:
    access.add("maria")
    brief = Auth(database, refresh_lifetime=timedelta(0))
    log_in = brief.log_in("maria", PASSWORD, address=ADDRESS)
    assert refusal(partial(access.context, log_in)).code == "auth.expired"
    assert refusal(partial(brief.refresh, log_in.session, log_in.refresh_id)).code == "auth.expired"
    brief.log_in("maria", PASSWORD, address=ADDRESS)
    access.log_in("maria")
    with database.read() as tx:
        assert not tx.scalars(sa.select(Session).where(Session.expires_at < now())).all()


def test_ids_that_are_no_log_in_are_refused(access: Access) -> None:
    for session in ("", "nonsense", "00000000-0000-4000-8000-000000000000"):
        for attempt in (
            partial(access.auth.authenticate, session, request_id="r", address=ADDRESS),
            partial(access.auth.refresh, session, "nonsense"),
        ):
            assert refusal(attempt).code == "auth.expired"


# -- what is written down


def test_l128_refusals_are_recorded_and_a_flood_is_summed_up(access: Access) -> None:
    access.add("maria")
    for number in range(12):
        refusal(partial(access.log_in, "maria" if number % 2 else f"nobody{number}", "wrong password"))
    rows = [entry for entry in access.audit() if (entry.action, entry.result) == ("auth.log_in", "refused")]
    assert len(rows) == 6
    assert "try 10 " in str(rows[-1].subject)
    assert {row.address for row in rows} == {ADDRESS}
    refusal(lambda: access.auth.log_in("maria", "wrong password", address="192.0.2.8"))
    assert access.audit()[-1].address == "192.0.2.8"


def test_l130_no_password_gets_into_the_audit(access: Access) -> None:
    """Not even one that was typed into the field for the name."""
    secret = "hunter2 hunter2"
    access.add("maria")
    refusal(partial(access.log_in, secret, "maria"))
    refusal(partial(access.log_in, "maria", secret))
    access.auth.change_password(access.calls("maria"), PASSWORD, secret)
    access.users.update(access.admin, "maria", password=secret + secret)
    access.users.create(access.admin, "paul", secret, UserRole.USER)
    _, generated = access.users.create(access.admin, "anna", None, UserRole.USER)
    written = str([vars(entry) for entry in access.audit()])
    assert generated is not None
    for word in (secret, generated, PASSWORD, ADMIN_PASSWORD):
        assert word not in written


def test_l126_every_change_of_identity_is_in_the_audit(access: Access) -> None:
    tenant = access.tenant("physics", maria=TenantRole.OWNER)
    maria = access.calls("maria")
    access.auth.change_password(maria, PASSWORD, "another good password")
    access.auth.log_out(maria)
    access.users.update(access.admin, "maria", role=UserRole.AUDITOR)
    access.members.remove(access.admin, tenant, "maria")
    access.users.delete(access.admin, "maria")
    told = {(entry.actor, entry.action) for entry in access.audit()}
    assert told >= {
        ("poolhouse", "user.create"),
        ("admin", "user.create"),
        ("admin", "member.add"),
        ("maria", "auth.log_in"),
        ("maria", "auth.change_password"),
        ("maria", "auth.log_out"),
        ("admin", "user.update"),
        ("admin", "member.remove"),
        ("admin", "user.delete"),
    }


def test_l127_a_change_that_fails_leaves_no_row(access: Access) -> None:
    admin = access.admin
    before = len(access.audit())
    with pytest.raises(Conflict):
        access.users.create(admin, "ADMIN", PASSWORD, UserRole.USER)
    assert len(access.audit()) == before


def test_a_caller_without_the_privilege_is_forbidden_and_nothing_happens(access: Access) -> None:
    access.add("maria")
    access.add("auditor", UserRole.AUDITOR)
    for name in ("maria", "auditor"):
        caller = access.calls(name)
        for attempt in (
            partial(access.users.create, caller, "x1", PASSWORD, UserRole.ADMIN),
            partial(access.users.update, caller, caller.caller.user, role=UserRole.ADMIN),
            partial(access.users.delete, caller, "admin"),
        ):
            assert isinstance(refusal(attempt), Forbidden)
    assert access.auth.me(access.calls("maria")).user.role == UserRole.USER
