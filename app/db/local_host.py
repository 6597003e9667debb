"""What the worker last saw of this host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.db.models import LocalHost
from app.db.session import Tx, now
from app.domain import local as domain
from app.domain.local import Trouble

_ONLY = 1


def seen(tx: Tx) -> domain.LocalHost | Trouble | None:
    """None until a worker has looked."""
    row = tx.get(LocalHost, _ONLY)
    if row is None:
        return None
    if row.facts is None:
        return Trouble(row.code or "", row.detail or "", row.remedy)
    return domain.LocalHost(**row.facts, observed_at=row.observed_at)


def observe(tx: Tx, facts: Mapping[str, Any]) -> None:
    """`facts` are members of a LocalHost, but for `observed_at`."""
    tx.merge(LocalHost(id=_ONLY, facts=dict(facts), code=None, detail=None, remedy=None, observed_at=now()))


def fail(tx: Tx, trouble: Trouble) -> None:
    row = LocalHost(id=_ONLY, code=trouble.code, detail=trouble.detail, remedy=trouble.remedy, observed_at=now())
    row.facts = None
    tx.merge(row)
