"""`poolhouse serve`: becomes gunicorn."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from app import bootstrap
from app.cli.environment import load_settings, plain_errors

_CHECKOUT = Path(__file__).parents[2]


@click.command("serve")
def command() -> None:
    """Run the web process: gunicorn with deploy/gunicorn.conf.py, on POOLHOUSE_HOST and POOLHOUSE_PORT."""
    settings = load_settings()  # what is wrong is one sentence here, and a traceback in each of gunicorn's workers
    with plain_errors():
        bootstrap.check_schema(settings)
    configuration = str(_CHECKOUT / "deploy" / "gunicorn.conf.py")
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", configuration, "--chdir", str(_CHECKOUT), "wsgi:app"]
    os.execv(sys.executable, gunicorn)  # noqa: S606  no shell is wanted
