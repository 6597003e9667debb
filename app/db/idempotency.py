"""Answers that were given to keys. The row commits with the change that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app.db.models import Idempotency
from app.db.session import Tx, now


def find(tx: Tx, user: str, key: str) -> Idempotency | None:
    return tx.get(Idempotency, (user, key))


def add(
    tx: Tx, user: str, key: str, fingerprint: str, status: int, body: Mapping[str, Any] | None, operation: str | None
) -> None:
    tx.add(
        Idempotency(
            user_id=user,
            key=key,
            fingerprint=fingerprint,
            status=status,
            body=dict(body) if body is not None else None,
            operation_id=operation,
        )
    )
    tx.flush()


def forget_old(tx: Tx, age: timedelta) -> None:
    tx.execute(sa.delete(Idempotency).where(Idempotency.created_at < now() - age))
