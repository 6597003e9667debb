"""`poolhouse db`: the tables of the database that POOLHOUSE_DATABASE_URL names."""

from __future__ import annotations

import click

from app import bootstrap
from app.cli.environment import load_settings, plain_errors


@click.group("db")
def command() -> None:
    """Bring the database up or down."""


@command.command("upgrade")
def upgrade() -> None:
    """Bring the tables to what this version needs. Harmless where they are there already."""
    settings = load_settings()
    with plain_errors():
        bootstrap.migrate(settings)


@command.command("downgrade")
@click.argument("revision")
@click.confirmation_option(prompt="What the newer tables hold is lost. Go on?")
def downgrade(revision: str) -> None:
    """Bring the tables back to REVISION (a number as 0001, `-1` for one step, `base` for none)."""
    settings = load_settings()
    with plain_errors():
        bootstrap.migrate(settings, revision)
