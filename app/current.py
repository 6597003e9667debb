"""The one bridge between Flask's context and our objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flask import current_app, g
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from app.config import Settings
    from app.domain.access import Context
    from app.services import Services

SETTINGS, SERVICES = "poolhouse-settings", "poolhouse-services"

#: What the use cases are called on.
services = cast("Services", LocalProxy(lambda: current_app.extensions[SERVICES]))
settings = cast("Settings", LocalProxy(lambda: current_app.extensions[SETTINGS]))
#: The caller of this request. Only behind a log-in: elsewhere there is none.
ctx = cast("Context", LocalProxy(lambda: g.ctx))
