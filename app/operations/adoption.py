"""Taking over the runs of dead workers: one transaction, whatever their number.

DBOS' own recovery puts each run back into its queue and lets it be taken from there again, with several transactions
for each. Here a run stays where it is, and keeps its place in the limits of its queue; only its executor changes. This
is the one place that knows DBOS' table (dbos 3.4: its claim from a queue writes the same columns).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from dbos import DBOS
from dbos._core import execute_dequeued_workflow

from app.db.session import Tx


@dataclass(frozen=True)
class Adopted:
    """Runs that are this executor's now, and are to be begun once that is committed."""

    runs: Sequence[str]
    claim: str


def adopt(tx: Tx, dbos: DBOS, dead: Sequence[str], executor: str) -> Adopted:
    """Each run goes to whoever asks first; the dead one's claim to write its outcome ends."""
    table = dbos._sys_db.tables.workflow_status
    schema = dbos._sys_db.engine.get_execution_options()["schema_translate_map"]
    claim = str(uuid.uuid4())
    taken = tx.execute(
        sa.update(table)
        .where(table.c.executor_id.in_(dead), table.c.status == "PENDING")
        .values(executor_id=executor, owner_xid=claim, recovery_attempts=table.c.recovery_attempts + 1)
        .returning(table.c.workflow_uuid),
        execution_options={"schema_translate_map": schema},
    )
    return Adopted([run for (run,) in taken], claim)


def begin(dbos: DBOS, adopted: Adopted) -> None:
    """Begin the adopted runs in this process."""
    for status in dbos._sys_db.get_workflow_statuses(list(adopted.runs)):
        execute_dequeued_workflow(dbos, status, adopted.claim)
