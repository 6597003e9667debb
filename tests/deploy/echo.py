"""A WSGI application for nginx and gunicorn to stand before: tells what reached it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(float(environ.get("HTTP_X_SLEEP", 0)))
    status = environ.get("HTTP_X_STATUS", "200 OK")
    start_response(status, [("Content-Type", "application/json"), ("X-From", "app")])
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    seen["body_bytes"] = str(len(environ["wsgi.input"].read()))
    return [json.dumps(seen).encode()]
