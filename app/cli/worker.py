"""`poolhouse worker`."""

from __future__ import annotations

import click

from app import bootstrap
from app.cli.environment import load_settings, plain_errors


@click.command("worker")
def command() -> None:
    """Run a worker until SIGTERM. It may be killed at any time: the next one goes on where it was."""
    settings = load_settings()
    with plain_errors():
        bootstrap.run_worker(settings)
