"""The OpenAPI document without a house: `render(document_app())` needs no database and no secret."""

from __future__ import annotations

from flask import Flask

from app.api import make_flask
from app.api.spec import document, render
from app.config import DEVELOPMENT, Settings

__all__ = ["document", "document_app", "render"]


def document_app() -> Flask:
    """An application that can only describe itself."""
    return make_flask(Settings(mode=DEVELOPMENT, secret_key=bytes(32), encryption_key=bytes(32)), None)
