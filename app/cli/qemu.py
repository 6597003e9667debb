"""`poolhouse qemu`."""

from __future__ import annotations

import click

from app.qemu import doctor, opening


@click.group("qemu")
def command() -> None:
    """Virtual machines on this host."""


@command.command("doctor")
@click.option("--uri", default=opening.SYSTEM_URI, show_default=True, help="Which libvirt to ask.")
@click.pass_context
def doctor_command(ctx: click.Context, uri: str) -> None:
    """Say whether local QEMU can be used: `kvm` or `tcg` with the reason, or what is missing and the command that
    installs it. Ends with 0 when it can be used."""
    health = doctor.examine(uri)
    if health.accelerator is not None:
        click.echo(f"{health.accelerator.type}: {health.accelerator.reason}")
    for finding in health.findings:
        click.echo(f"missing: {finding.missing}\n  {finding.remedy}")
    ctx.exit(0 if health.usable else 1)
