"""`poolhouse seed`: what a new house needs before anybody can log in."""

from __future__ import annotations

import json

import click

from app import bootstrap
from app.cli.environment import load_settings, plain_errors


@click.command("seed")
@click.option("--lab", "lab_url", metavar="URL", help="Register the lab there as the default cluster.")
@click.option("--lab-password", envvar="POOLHOUSE_LAB_PASSWORD", show_envvar=True, help="Of the lab's root@pam.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Certificate that the lab shows.")
@click.option("--json", "as_json", is_flag=True, help='Print {"admin_password_generated": PASSWORD or null}.')
def command(lab_url: str | None, lab_password: str | None, ca_file: str | None, as_json: bool) -> None:
    """Register the cluster that POOLHOUSE_PVE_URL names, or the lab; and make the first administrator, named admin,
    unless there is one. His password comes from POOLHOUSE_ADMIN_PASSWORD, or is generated and printed this once."""
    settings = load_settings()
    with plain_errors():
        if lab_url is None:
            result = bootstrap.seed(settings)
        elif lab_password is None or ca_file is None:
            raise click.UsageError("--lab needs --ca-file, and --lab-password or POOLHOUSE_LAB_PASSWORD.")
        else:
            result = bootstrap.seed_development(settings, lab_url, lab_password, ca_file)
    password = result.admin_password_generated
    if as_json:
        click.echo(json.dumps({"admin_password_generated": password}))
    elif password is not None:
        click.echo(f"The password of admin, shown this once: {password}")
