"""Safe to repeat: a mutation with a key happens once, also over a crash.

The key's row is written in the transaction of the change itself, which the service called inside joins. So there is no
moment at which the change stands and its answer does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.db import idempotency
from app.db.session import Database, Tx
from app.domain.access import Context, IdempotencyKey
from app.domain.errors import Conflict, Invalid


@dataclass(frozen=True)
class Replay:
    """The answer that was given before: of an operation its id, else status and body."""

    status: int
    body: Mapping[str, Any] | None
    operation: str | None


class Claim:
    """A key in use by this request. `replay` is None the first time; then `store` the answer before leaving."""

    def __init__(self, tx: Tx, ctx: Context, key: IdempotencyKey, replay: Replay | None) -> None:
        self._tx = tx
        self._ctx = ctx
        self._key = key
        self.replay = replay

    def store(self, status: int, body: Mapping[str, Any] | None, operation: str | None) -> None:
        idempotency.add(self._tx, self._ctx.caller.user, self._key.key, self._key.fingerprint, status, body, operation)


class IdempotencyKeys:
    def __init__(self, db: Database) -> None:
        self._db = db

    @contextmanager
    def begin(self, ctx: Context, key: IdempotencyKey) -> Iterator[Claim]:
        """The transaction of a change. Raises Invalid `idempotency.mismatch` where the key was used for another
        request, Conflict `idempotency.in_flight` where the first one is still being decided."""
        try:
            with self._db.begin() as tx:
                found = idempotency.find(tx, ctx.caller.user, key.key)
                if found is not None and found.fingerprint != key.fingerprint:
                    raise Invalid(
                        {"Idempotency-Key": ["was used for another request"]}, code="idempotency.mismatch",
                        remedy="Use a new key for a new request.",
                    )  # fmt: skip
                replay = Replay(found.status, found.body, found.operation_id) if found is not None else None
                yield Claim(tx, ctx, key, replay)
        except Conflict as error:
            if error.code != Conflict.code:
                raise
            raise Conflict(
                "The first request with this key is still being decided.", code="idempotency.in_flight",
                remedy="Try again in a moment.",
            ) from error  # fmt: skip
