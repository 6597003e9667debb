"""The matrix tells what it tried."""

from __future__ import annotations

import pytest

from tests.kill.matrix import TRIED, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for each in terminalreporter.stats.values() for report in each if hasattr(report, "user_properties")
    ]
    tried = [value for report in reports for name, value in report.user_properties if name == TRIED]
    if tried:
        terminalreporter.section("killed, repeated, refused and undone")
        for line in table(tried):
            terminalreporter.write_line(line)
