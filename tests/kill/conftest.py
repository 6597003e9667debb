"""The matrix tells what it tried."""

from __future__ import annotations

import pytest

from tests.kill.matrix import TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(TABLE, None)
    if rows:
        terminalreporter.section("killed, repeated, refused and undone")
        for row in rows:
            terminalreporter.write_line(row)
