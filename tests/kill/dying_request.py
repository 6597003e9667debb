"""A web process that dies in the middle of one request: `python -m tests.kill.dying_request TOKEN PATH BODY`.

The same request is made again and again, each time by a new process, which ends itself by SIGKILL at the next point:
before its first, second, ... write in the database, before the commit, after the commit. Prints a line for each
process, `POINT killed` or `POINT answered`; its Idempotency-Key is `dies at POINT`. The first write that is not reached
is the last one tried.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from app import create_app
from app.config import Settings
from tests.house import Caller


def _points() -> Iterator[str]:
    yield "commit"
    yield "committed"
    number = 0
    while True:
        number += 1
        yield f"write {number}"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dies_at(point: str) -> None:
    """Arm the process; a transaction that writes nothing does not count."""
    wrote = False
    writes = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def before(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        nonlocal wrote, writes
        if statement.lstrip().upper().startswith("SELECT"):
            return
        wrote = True
        writes += 1
        if point == f"write {writes}":
            _die()

    @event.listens_for(Session, "before_commit")
    def before_commit(session: Session) -> None:
        session.flush()
        if point == "commit" and wrote:
            _die()

    @event.listens_for(Session, "after_commit")
    def after_commit(_session: Session) -> None:
        if point == "committed" and wrote:
            _die()


def main(token: str, path: str, body: str) -> None:
    app = create_app(Settings.from_env(os.environ))  # it has asked the database nothing when it forks
    for point in _points():
        child = os.fork()
        if child == 0:
            caller = Caller(app.test_client(), token)
            _dies_at(point)
            caller.post(path, json.loads(body), Idempotency_Key=f"dies at {point}")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        sys.stdout.write(f"{point}\t{'killed' if killed else 'answered'}\n")
        sys.stdout.flush()
        if not killed:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
