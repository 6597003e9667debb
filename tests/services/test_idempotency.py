"""The same key: once, however often and however simultaneously it is sent (L50)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.db.models import Idempotency, User
from app.db.session import Database
from app.domain.access import Caller, Context, IdempotencyKey, UserRole
from app.domain.errors import AppError, Conflict, Forbidden, Invalid
from app.services.idempotency import IdempotencyKeys
from tests.db import contenders, records

KEY = IdempotencyKey("key-1", "digest of the request")


def context(user: str = "11111111-1111-4111-8111-111111111111") -> Context:
    return Context(Caller(user, "maria", UserRole.USER, "session"), {}, "request", "127.0.0.1")


@pytest.fixture
def keys(database: Database) -> IdempotencyKeys:
    return IdempotencyKeys(database)


def add_user(db: Database, keys: IdempotencyKeys, name: str, key: IdempotencyKey = KEY, user: str | None = None) -> str:
    """A change as the routes make it: replayed where the key was used, else done and its answer stored."""
    with keys.begin(context(user) if user else context(), key) as claim:
        if claim.replay is not None:
            assert claim.replay.body is not None
            answer: str = claim.replay.body["name"]
            return answer
        with db.begin() as tx:
            records.user(tx, name)
        claim.store(201, {"name": name}, None)
        return name


def users(db: Database) -> int:
    with db.read() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(User)) or 0


def test_the_second_time_gets_the_first_answer(database: Database, keys: IdempotencyKeys) -> None:
    assert [add_user(database, keys, name) for name in ("first", "second")] == ["first", "first"]
    assert users(database) == 1


def test_another_request_with_the_key_is_refused(database: Database, keys: IdempotencyKeys) -> None:
    add_user(database, keys, "first")
    with pytest.raises(Invalid) as caught:
        add_user(database, keys, "second", IdempotencyKey(KEY.key, "another digest"))
    assert caught.value.code == "idempotency.mismatch"
    assert users(database) == 1


def test_a_key_is_its_users_own(database: Database, keys: IdempotencyKeys) -> None:
    other = "22222222-2222-4222-8222-222222222222"
    assert [add_user(database, keys, "first"), add_user(database, keys, "second", user=other)] == ["first", "second"]


def test_what_was_refused_may_be_tried_again_with_the_key(database: Database, keys: IdempotencyKeys) -> None:
    def refuse() -> None:
        with keys.begin(context(), KEY), database.begin() as tx:
            records.user(tx, "refused")
            raise Forbidden("no")

    with pytest.raises(Forbidden):
        refuse()
    assert users(database) == 0
    assert add_user(database, keys, "again") == "again"


def test_many_at_once_are_one(database: Database, keys: IdempotencyKeys) -> None:
    """Each gets the first answer, or is told that it is still being decided; nobody anything else."""

    def send(name: str) -> str:
        try:
            return add_user(database, keys, name)
        except AppError as error:
            return error.code

    answers = contenders.at_once([lambda name=f"name-{n}": send(name) for n in range(24)])  # type: ignore[misc]
    assert users(database) == 1
    assert len(set(answers) - {"idempotency.in_flight"}) == 1


def test_one_that_comes_while_the_first_is_decided_is_not_decided_itself(
    database: Database, keys: IdempotencyKeys
) -> None:
    """Else a repeated request could be refused for the quota that its own first one has just taken."""
    deciding, decided = threading.Event(), threading.Event()
    ran: list[str] = []
    told: list[str] = []

    def first() -> None:
        with keys.begin(context(), KEY) as claim:
            deciding.set()
            decided.wait(0.5)
            ran.append("first")
            claim.store(201, {"name": "first"}, None)

    def second() -> None:
        deciding.wait(10)
        try:
            with keys.begin(context(), KEY) as claim:
                if claim.replay is None:
                    ran.append("second")
                    claim.store(201, {"name": "second"}, None)
        except Conflict as error:
            told.append(error.code)
        decided.set()

    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(first), threads.submit(second)]:
            one.result(30)
    assert (ran, told) in [(["first"], []), (["first"], ["idempotency.in_flight"])]
    with database.read() as tx:
        assert [row.body for row in tx.scalars(sa.select(Idempotency))] == [{"name": "first"}]


@pytest.mark.parametrize("name", ["vmids", "users.canonical", "operations.guest_id", "uq_operations_open_guest"])
def test_the_words_in_a_key_do_not_matter(database: Database, keys: IdempotencyKeys, name: str) -> None:
    """PostgreSQL repeats the value in its message about a key that is there already."""
    key = IdempotencyKey(name, "digest")
    with database.begin() as tx:
        tx.add(Idempotency(user_id=context().caller.user, key=name, fingerprint="digest", status=200, body={}))
    with pytest.raises(Conflict) as caught, database.begin() as tx:
        tx.execute(
            sa.insert(Idempotency).values(
                user_id=context().caller.user, key=key.key, fingerprint=key.fingerprint, status=200
            )
        )
    assert caught.value.code == "idempotency.in_flight"
