"""Swagger UI and the document that it shows. Its files come from npm (`make setup`), none from another host."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, current_app, send_from_directory
from werkzeug.exceptions import NotFound

from app.api import spec

_WEB = Path(__file__).resolve().parents[1] / "web"
_OURS = _WEB / "docs"
_SWAGGER_UI = _WEB / "node_modules" / "swagger-ui-dist"
_FILES = {
    "swagger-ui.css": _SWAGGER_UI,
    "swagger-ui-bundle.js": _SWAGGER_UI,
    "favicon-32x32.png": _SWAGGER_UI,
    "start.js": _OURS,
    "page.css": _OURS,
}
#: Swagger UI shows its icons as data: images; styles that it sets from its script need no permission.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: Flask) -> None:
    app.add_url_rule("/openapi.json", view_func=openapi_json)
    app.add_url_rule("/docs", view_func=page)
    app.add_url_rule("/docs/<path:name>", view_func=asset)


def openapi_json() -> Response:
    return Response(spec.render(current_app), mimetype="application/json")


def page() -> Response:
    if not _SWAGGER_UI.is_dir():
        return Response("Swagger UI is not installed: run `make setup`.\n", 503, mimetype="text/plain")
    return _protected(send_from_directory(_OURS, "index.html"))


def asset(name: str) -> Response:
    if name not in _FILES:
        raise NotFound
    answer = _protected(send_from_directory(_FILES[name], name))
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


def _protected(answer: Response) -> Response:
    answer.headers["Content-Security-Policy"] = _POLICY
    answer.headers["Cache-Control"] = "no-cache"
    return answer
