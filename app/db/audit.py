"""The audit log: who did what, to whom, with which result. A row commits with the change it tells of."""

from __future__ import annotations

import unicodedata

from app.db.models import AuditEntry
from app.db.session import Tx
from app.domain.access import Context

ANONYMOUS = "anonymous"
#: Who acts when nobody called: the house itself.
HOUSE = "poolhouse"
_LONGEST = 200


def record(
    tx: Tx,
    ctx: Context,
    action: str,
    *,
    tenant: str | None = None,
    guest: str | None = None,
    operation: str | None = None,
    subject: str | None = None,
    result: str = "ok",
) -> None:
    """`action` is `noun.verb`; `subject` says in words what it was done to, and never holds a secret."""
    tx.add(
        AuditEntry(
            actor=ctx.actor, action=action, tenant_id=tenant, guest_id=guest, operation_id=operation,
            subject=None if subject is None else printable(subject), result=result, address=printable(ctx.address),
            request_id=printable(ctx.request_id),
        )
    )  # fmt: skip


def record_anonymous(
    tx: Tx, action: str, subject: str, result: str, address: str, request_id: str, *, actor: str = ANONYMOUS
) -> None:
    """What was done, or tried, without a log-in."""
    tx.add(
        AuditEntry(
            actor=actor, action=action, subject=printable(subject), result=result, address=printable(address),
            request_id=printable(request_id),
        )
    )  # fmt: skip


def record_own(tx: Tx, action: str, *, tenant: str, guest: str | None, subject: str, result: str) -> None:
    """What the house found, or did, by itself."""
    tx.add(
        AuditEntry(
            actor=HOUSE, action=action, tenant_id=tenant, guest_id=guest, subject=printable(subject), result=result,
            address="", request_id="",
        )
    )  # fmt: skip


def printable(text: str) -> str:
    """On one line, without control characters, invisible marks or halves of a surrogate pair, and cut."""
    kept = (char for char in text if char == " " or unicodedata.category(char)[0] not in "CZ")
    return "".join(kept)[:_LONGEST]
