"""Answers that were given to keys. The row commits with the change that it answers."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from app.db.models import Idempotency
from app.db.session import Tx, now
from app.domain.access import IdempotencyKey


def find(tx: Tx, user: str, key: IdempotencyKey) -> Idempotency | None:
    return tx.get(Idempotency, {"user_id": user, "tenant": key.tenant, "key": key.key})


def claim(tx: Tx, user: str, key: IdempotencyKey) -> Idempotency:
    """Take a key before anything else is done: whoever comes with the same one waits here, and then has lost."""
    row = Idempotency(user_id=user, tenant=key.tenant, key=key.key, fingerprint=key.fingerprint, status=0)
    tx.add(row)
    tx.flush()
    return row


def forget_old(tx: Tx, age: timedelta) -> None:
    tx.execute(sa.delete(Idempotency).where(Idempotency.created_at < now() - age))
