"""`poolhouse`: the processes of the house and the chores of its operator.

Each command is a module of this package with a click command named `command`; it is imported when it is asked for, so
that the lab starts without the API's libraries and the other way round.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

import click

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "serve": "Run the web process: the API behind gunicorn.",
        "worker": "Run a worker: it carries out operations and keeps the inventory.",
        "lab": "Run the lab, a stand-in for a Proxmox VE cluster.",
        "db": "Bring the database up or down.",
        "seed": "Register the cluster and make the first administrator.",
        "openapi": "Print the OpenAPI document.",
        "qemu": "Look after virtual machines on this host.",
    }
)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="poolhouse")
def main() -> None:
    """Poolhouse, a multi-tenant provisioning API for Proxmox VE. Settings: see .env.example."""
