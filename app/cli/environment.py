"""The settings of a command, and its errors in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click
from dotenv import load_dotenv

from app.config import Settings, SettingsError, configure_log
from app.domain.errors import AppError


def load_settings() -> Settings:
    """Settings from the environment, and from the file `.env` of the working folder for what is not set there. The
    log is as they say from here on."""
    load_dotenv(".env")
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    configure_log(settings.log_level)
    return settings


@contextmanager
def plain_errors() -> Iterator[None]:
    """What the house refuses is told in its own words, without a traceback; an operator may read its log's too."""
    try:
        yield
    except AppError as error:
        log = f"({error.log})" if error.log else None
        raise click.ClickException(" ".join(filter(None, [error.detail, error.remedy, log]))) from error
