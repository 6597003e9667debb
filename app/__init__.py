"""Poolhouse: a multi-tenant provisioning API for Proxmox VE."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Settings

__version__ = "0.1.0"


def create_app(settings: Settings | None = None) -> Flask:
    """The web application. Without settings they come from the environment; raises `app.config.SettingsError`."""
    from app import bootstrap  # noqa: PLC0415 -- the lab and the CLI import this package without the house
    from app.api import make_flask  # noqa: PLC0415
    from app.config import Settings  # noqa: PLC0415

    settings = settings or Settings.from_env(os.environ)
    return make_flask(settings, bootstrap.build(settings).services)
