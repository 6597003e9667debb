"""`poolhouse lab`: the lab is a program of its own; this is only its place in the command line."""

from __future__ import annotations

import click

from app.lab import __main__ as lab


@click.command(
    "lab",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run the lab until SIGTERM; `poolhouse lab --help` lists its options."""
    raise SystemExit(lab.main(list(arguments)))
