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
from app.db.models import Idempotency
from app.db.session import Database
from app.domain.access import Context, IdempotencyKey
from app.domain.errors import Invalid


@dataclass(frozen=True)
class Replay:
    """The answer that was given before: of an operation its id, else status and body."""

    status: int
    body: Mapping[str, Any] | None
    operation: str | None


class Claim:
    """A key in use by this request. `replay` is None the first time; then `store` the answer before leaving."""

    def __init__(self, row: Idempotency, *, is_new: bool) -> None:
        self._row = row
        self.replay = None if is_new else Replay(row.status, row.body, row.operation_id)

    def store(self, status: int, body: Mapping[str, Any] | None, operation: str | None) -> None:
        self._row.status = status
        self._row.body = dict(body) if body is not None else None
        self._row.operation_id = operation


class IdempotencyKeys:
    def __init__(self, db: Database) -> None:
        self._db = db

    @contextmanager
    def begin(self, ctx: Context, key: IdempotencyKey) -> Iterator[Claim]:
        """The transaction of a change. Raises Invalid `idempotency.mismatch` where the key was used for another
        request, Conflict `idempotency.in_flight` where the first one was being decided just now."""
        with self._db.begin() as tx:
            found = idempotency.find(tx, ctx.repeater, key)
            if found is not None and found.fingerprint != key.fingerprint:
                raise Invalid(
                    {"Idempotency-Key": ["was used for another request"]},
                    code="idempotency.mismatch",
                    remedy="Use a new key for a new request.",
                )
            row = found or idempotency.claim(tx, ctx.repeater, key)
            yield Claim(row, is_new=found is None)
