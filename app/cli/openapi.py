"""`poolhouse openapi`."""

from __future__ import annotations

import click

from app.api import openapi


@click.command("openapi")
def command() -> None:
    """Print the OpenAPI document of this version. Needs no database and no secret."""
    click.echo(openapi.render(openapi.document_app()), nl=False)
