"""The audit log's rows."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import audit
from app.db.models import AuditEntry
from app.db.session import Database
from app.domain.access import Caller, Context, UserRole

HOSTILE = "one\ntwo\r\x1b[31m\0\u202e\u2028\ud800 three" + "x" * 5000


@pytest.mark.parametrize("anonymous", [True, False])
def test_l130_no_control_character_enters_the_log(database: Database, anonymous: bool) -> None:
    with database.begin() as tx:
        if anonymous:
            audit.record_anonymous(tx, "auth.log_in", HOSTILE, "refused", HOSTILE, HOSTILE)
        else:
            ctx = Context(Caller("u1", "maria", UserRole.USER, "s1"), {}, HOSTILE, HOSTILE)
            audit.record(tx, ctx, "guest.start", tenant="t1", guest="g1", operation="o1", subject=HOSTILE)
    with database.read() as tx:
        entry = tx.scalars(sa.select(AuditEntry)).one()
    for text in (entry.subject, entry.address, entry.request_id):
        assert text is not None
        assert text.startswith("onetwo[31m three")
        assert text.isprintable()
        assert len(text) <= 200
    assert (entry.actor, entry.result) == (("anonymous", "refused") if anonymous else ("maria", "ok"))
    assert (entry.tenant_id, entry.guest_id, entry.operation_id) == ((None,) * 3 if anonymous else ("t1", "g1", "o1"))
