"""Users: names, and the administrator who stays."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db.models import QuotaLimit, User
from app.domain.access import IdempotencyKey, TenantRole, UserRole
from app.domain.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from app.domain.paging import PageRequest
from app.policy import names
from app.services.idempotency import IdempotencyKeys
from tests.db import contenders
from tests.services.conftest import PASSWORD, Access


def written_in(script: tuple[int, int]) -> st.SearchStrategy[str]:
    """Words of one script: nobody mixes them."""
    letters = st.characters(min_codepoint=script[0], max_codepoint=script[1], categories=["Ll", "Lu", "Lo"])
    return st.text(letters, min_size=1, max_size=12).filter(is_a_name)


def is_a_name(text: str) -> bool:
    try:
        return bool(names.username(text))
    except Invalid:
        return False


SCRIPTS = {
    "Latin": (0xC0, 0x24F), "Greek": (0x370, 0x3FF), "old Greek": (0x1F00, 0x1FFF), "Cyrillic": (0x400, 0x52F),
    "Armenian": (0x530, 0x58F), "Georgian": (0x10A0, 0x10FF),
    "Arabic forms": (0xFB50, 0xFDFB), "kana": (0xFF66, 0xFF9D),
}  # fmt: skip
words = st.sampled_from(list(SCRIPTS.values())).flatmap(written_in)


def spellings(name: str) -> list[str]:
    """What people type for the same name."""
    spaced = f"  {name}\t "
    return [name, spaced, unicodedata.normalize("NFD", name), name.casefold(), unicodedata.normalize("NFKD", spaced)]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=words)
def test_l57_all_spellings_of_a_name_are_one_user(access: Access, name: str) -> None:
    admin = access.admin
    made = access.users.create(admin, f"{name}-1 2", PASSWORD, UserRole.USER)[0]
    try:
        for spelling in spellings(name):
            assert access.log_in(f"{spelling.rstrip()}-1 \t 2 ").user.id == made.id
        for spelling in spellings(name):
            with pytest.raises(Conflict) as caught:
                access.users.create(admin, f"{spelling.rstrip()}-1   2 ", PASSWORD, UserRole.USER)
            assert caught.value.code == "name.taken"
    finally:
        access.users.delete(admin, made.id)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("maria", "MARIA"),
        ("maria", "maria "),
        ("ﬁona", "FIONA"),
        ("Ϊ́ων", "ΐων"),
        ("straße", "STRASSE"),
        ("ｍaria", "maria"),
    ],
)
def test_l57_known_pairs(access: Access, first: str, second: str) -> None:
    made = access.add(first)
    with pytest.raises(Conflict):
        access.add(second)
    assert access.log_in(second).user == made


def test_l57_of_many_who_take_a_name_at_once_one_gets_it(access: Access) -> None:
    admin = access.admin

    def take() -> str:
        try:
            return access.users.create(admin, "maria", PASSWORD, UserRole.USER)[0].id
        except Conflict as error:
            return error.code

    outcomes = contenders.at_once([take] * 4)
    assert outcomes.count("name.taken") == 3


def test_l57_a_taken_name_is_told_as_such_under_an_idempotency_key_too(access: Access) -> None:
    """The service's transaction is then inside another one, whose conflicts mean something else."""
    admin = access.admin
    key = IdempotencyKey("key-1", "fingerprint")
    with pytest.raises(Conflict) as caught, IdempotencyKeys(access.db).begin(admin, key):
        access.users.create(admin, "ADMIN", PASSWORD, UserRole.USER)
    assert caught.value.code == "name.taken"


def test_a_password_is_generated_where_none_is_given(access: Access) -> None:
    user, password = access.users.create(access.admin, "maria", None, UserRole.USER)
    assert password is not None
    assert access.log_in("maria", password).user == user
    assert access.users.create(access.admin, "paul", PASSWORD, UserRole.USER)[1] is None


def test_users_are_found_by_id_and_name_and_listed_in_pages(access: Access) -> None:
    admin = access.admin
    made = {name: access.add(name, by=admin) for name in ("maria", "Paul", "anna")}
    assert access.users.get(admin, "PAUL") == access.users.get(admin, made["Paul"].id) == made["Paul"]
    page = access.users.list(admin, PageRequest(limit=3))
    assert [user.username for user in page.data] == ["admin", "anna", "maria"]
    assert page.count == 4
    rest = access.users.list(admin, PageRequest(limit=3, cursor=page.next))
    assert [user.username for user in rest.data] == ["Paul"]
    assert rest.next is None
    with pytest.raises(Invalid):
        access.users.list(admin, PageRequest(sort="password_hash"))


@pytest.mark.parametrize(
    "ref", ["", "nobody", "5c469a1b-469e-48a5-af74-81552079bbaa", "a\0b", "\ud800", "x" * 5000, "admin\n'; --"]
)
def test_who_is_not_there_is_not_found(access: Access, ref: str) -> None:
    admin = access.admin
    for attempt in (
        partial(access.users.get, admin, ref),
        partial(access.users.update, admin, ref, disabled=True),
        partial(access.users.delete, admin, ref),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_l18_only_administrators_and_auditors_read_users(access: Access) -> None:
    access.add("maria")
    access.add("auditor", UserRole.AUDITOR)
    assert access.users.list(access.calls("auditor"), PageRequest()).count == 3
    maria = access.calls("maria")
    for attempt in (
        partial(access.users.list, maria, PageRequest()),
        partial(access.users.get, maria, "admin"),
        partial(access.users.get, maria, "nobody"),
    ):
        with pytest.raises(Forbidden):
            attempt()


# -- the last administrator


def code_of(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except AppError as error:
        return error.code
    return "ok"


def test_the_last_enabled_administrator_stays(access: Access) -> None:
    admin = access.admin
    second = access.add("second", UserRole.ADMIN, by=admin)
    access.users.update(admin, second.id, disabled=True)
    first = admin.caller.user
    for attempt in (
        partial(access.users.update, admin, first, role=UserRole.USER),
        partial(access.users.update, admin, first, disabled=True),
        partial(access.users.delete, admin, first),
    ):
        assert code_of(attempt) == "user.last_admin"
    assert access.users.get(access.admin, first).role == UserRole.ADMIN
    access.users.update(admin, second.id, disabled=False)
    access.users.update(admin, first, role=UserRole.USER)
    assert code_of(partial(access.users.delete, access.calls("second"), "second")) == "user.last_admin"


@pytest.mark.parametrize("change", ["demote", "disable", "delete"])
def test_administrators_who_remove_each_other_at_once_leave_one(access: Access, change: str) -> None:
    admin = access.admin
    ids = [admin.caller.user, *(access.add(f"admin{n}", UserRole.ADMIN, by=admin).id for n in range(3))]

    def remove(user: str) -> str:
        if change == "demote":
            return code_of(partial(access.users.update, admin, user, role=UserRole.AUDITOR))
        if change == "disable":
            return code_of(partial(access.users.update, admin, user, disabled=True))
        return code_of(partial(access.users.delete, admin, user))

    outcomes = contenders.at_once([partial(remove, user) for user in ids])
    assert sorted(outcomes) == ["ok", "ok", "ok", "user.last_admin"]
    with access.db.read() as tx:
        left = tx.scalars(sa.select(User).where(User.role == "admin", User.disabled.is_(False))).all()
    assert len(left) == 1


def test_an_administrator_who_sets_his_own_password_stays_logged_in(access: Access) -> None:
    admin, elsewhere = access.admin, access.admin
    access.users.update(admin, admin.caller.user, password="another good password")
    access.auth.authenticate(admin.caller.session, request_id="r", address="")
    assert code_of(partial(access.auth.authenticate, elsewhere.caller.session, request_id="r", address="")) != "ok"


def test_a_removed_user_leaves_no_membership_and_no_limit(access: Access) -> None:
    tenant = access.tenant("physics", maria=TenantRole.OWNER)
    admin = access.admin
    maria = access.users.get(admin, "maria")
    with access.db.begin() as tx:
        tx.add(QuotaLimit(tenant_id=tenant, user_id=maria.id, dimension="cores", amount=1))
        tx.add(QuotaLimit(tenant_id=tenant, user_id="", dimension="cores", amount=9))
    access.users.delete(admin, maria.id)
    assert access.members.list(admin, tenant).count == 0
    with access.db.read() as tx:
        assert [limit.amount for limit in tx.scalars(sa.select(QuotaLimit))] == [9]
    again = access.add("maria", by=admin)
    assert again.id != maria.id
    assert not access.calls("maria").memberships
