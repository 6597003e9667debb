"""What every request passes before its view, and every answer on its way out.

In: request id, who calls, rate limits, then the refusals: not logged in, an id that is none, parameters and bodies that
the route does not take. Out: headers for browsers and caches, one line in the log.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Set
from typing import Any

import structlog
from flask import Flask, Response, current_app, g, request
from flask_cors import CORS
from flask_jwt_extended import JWTManager, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import ExpiredSignatureError, PyJWTError
from werkzeug.exceptions import RequestEntityTooLarge

from app import current
from app.api import conventions, errors
from app.api.schemas.fields import is_printable, is_uuid
from app.config import Settings
from app.domain.access import KEY_MARK, Context
from app.domain.errors import Invalid, NotFound, Unauthenticated
from app.domain.identifiers import DiskName, MalformedIdentifier, SnapshotName, Upid, VmId, Volid

#: Everything else needs a log-in, and no setting changes that.
PUBLIC = frozenset(
    {
        "/api/auth/login", "/api/auth/refresh", "/api/health", "/api/ready",
        "/docs", "/docs/<path:name>", "/openapi.json",
    }
)  # fmt: skip

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Prefer, If-Match, Last-Event-ID"
_EXPOSED_HEADERS = "Location, ETag, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"

log = structlog.get_logger("access")


_PROVEN, _MOST_PROVEN = "poolhouse-proven-tokens", 10_000


def install(app: Flask, settings: Settings, limit: Callable[[Flask], None]) -> None:
    """`limit` installs the rate limits; they stand between knowing the caller and refusing him."""
    app.before_request(_begin)
    app.before_request(_identify)
    limit(app)
    app.before_request(_admit)
    app.after_request(_dress)
    CORS(
        app,
        origins=list(settings.allowed_origins or ()),
        methods=_METHODS.split(", "),
        allow_headers=_ALLOWED_HEADERS.split(", "),
        expose_headers=_EXPOSED_HEADERS.split(", "),
        supports_credentials=False,
        always_send=False,
        max_age=600,
    )
    app.after_request(_log)


def configure_tokens(app: Flask, settings: Settings) -> None:
    """Access tokens of one algorithm, in the Authorization header only."""
    app.config.update(
        JWT_SECRET_KEY=settings.secret_key,
        JWT_ALGORITHM="HS256",
        JWT_DECODE_ALGORITHMS=["HS256"],
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ACCESS_TOKEN_EXPIRES=settings.access_token_minutes * 60,
        JWT_REFRESH_TOKEN_EXPIRES=settings.refresh_token_days * 86400,
    )
    JWTManager(app)
    app.extensions[_PROVEN] = {}


# -- in


def _begin() -> Response | None:
    g.began = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    if request.method != "OPTIONS":
        return None
    if request.url_rule is not None:
        return current_app.make_default_options_response()
    return Response(status=204)


def _identify() -> None:
    """Find out who calls, and remember why not: his rate limit is looked at before he is refused."""
    if request.url_rule is None or request.url_rule.rule in PUBLIC:
        return
    try:
        g.ctx = _caller()
    except Unauthenticated as error:
        g.refusal = error


def _caller() -> Context:
    known = {"request_id": g.request_id, "address": request.remote_addr or ""}
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if given.startswith(KEY_MARK):
        return current.services.api_keys.authenticate(given, **known)
    session = _session()
    return current.services.auth.authenticate(session, **known)


def _session() -> str:
    """The session that the access token names. A signature that was found good stays good until the token expires,
    so it is worked out once; whether the session still stands is asked every time."""
    proven: dict[str, tuple[str, float]] = current_app.extensions[_PROVEN]
    given = request.headers.get("Authorization", "")
    session, expires = proven.get(given, ("", 0.0))
    if time.time() < expires:
        return session
    claims = _verified()
    if len(proven) >= _MOST_PROVEN:
        proven.clear()
    proven[given] = str(claims.get("sid", "")), float(claims["exp"])
    return str(claims.get("sid", ""))


def _verified() -> dict[str, Any]:
    try:
        found = verify_jwt_in_request()
    except ExpiredSignatureError:
        raise Unauthenticated(
            "Your access token has expired.", code="auth.expired", remedy="Refresh it, or log in again."
        ) from None
    except (JWTExtendedException, PyJWTError):
        raise Unauthenticated("A valid access token is needed.", remedy="Log in at /api/auth/login.") from None
    assert found is not None
    return found[1]


def _admit() -> None:
    if request.url_rule is None or not request.url_rule.rule.startswith("/api/"):
        return
    if "refusal" in g:
        raise g.refusal
    _check_path()
    method = "get" if request.method == "HEAD" else request.method.lower()
    view: Any = getattr(current_app.view_functions.get(request.endpoint or ""), "view_class", None)
    if view is None or not hasattr(view, method):
        return
    is_streamed = conventions.is_streamed(view, method)
    known = {conventions.DRY_RUN} if conventions.may_rehearse(request) else set()
    _check_query(known, takes_any=conventions.takes(view, method, "query"))
    if method in conventions.MUTATIONS and not is_streamed:
        _check_body(takes_any=conventions.takes(view, method, "json"))


#: The form of each id in a path: what has another one is as little there as what has the right one and is not.
def _is_guest(text: str) -> bool:
    try:
        return is_uuid(text) or bool(VmId.parse(text))
    except MalformedIdentifier:
        return False


def _is_vmid(text: str) -> bool:
    try:
        return bool(VmId.parse(text))
    except MalformedIdentifier:
        return False


def _is_snapshot(text: str) -> bool:
    try:
        return bool(SnapshotName.parse(text))
    except MalformedIdentifier:
        return False


def _is_disk(text: str) -> bool:
    return DiskName.form.fullmatch(text) is not None


def _is_position(text: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,4}", text, re.ASCII) is not None


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 256 and is_printable(text)


def _is_volid(text: str) -> bool:
    try:
        return bool(Volid.parse(text))
    except MalformedIdentifier:
        return False


def _is_upid(text: str) -> bool:
    try:
        return bool(Upid.parse(text))
    except MalformedIdentifier:
        return False


_PATH_FORMS: dict[str, Callable[[str], bool]] = {
    "disk": _is_disk,
    "backup": is_uuid,
    "drift": is_uuid,
    "flavor": _is_name,
    "group": _is_name,
    "guest": _is_guest,
    "image": _is_name,
    "key": is_uuid,
    "node": _is_name,
    "operation": is_uuid,
    "plan": _is_name,
    "poolid": _is_name,
    "pos": _is_position,
    "schedule": is_uuid,
    "storage": _is_name,
    "snapshot": _is_snapshot,
    "template": is_uuid,
    "tenant": _is_name,
    "upid": _is_upid,
    "user": _is_name,
    "vmid": _is_vmid,
    "volid": _is_volid,
}


def _check_path() -> None:
    given: dict[str, str] = request.view_args or {}
    for name, text in given.items():
        if not _PATH_FORMS[name](text):
            raise NotFound
        if is_uuid(text):
            given[name] = text.lower()


def _check_query(known: Set[str], *, takes_any: bool) -> None:
    """Nothing is ignored: the known ones are a schema's, whose own check names the others."""
    if not takes_any and (unknown := set(request.args) - known):
        raise Invalid({name: ["Unknown field."] for name in sorted(unknown)})
    twice = {name: ["is given more than once"] for name, values in request.args.lists() if len(values) > 1}
    if twice:
        raise Invalid(twice)


def _check_body(*, takes_any: bool) -> None:
    """A body is JSON. None at all is always taken, and needs no Content-Type."""
    body = request.get_data()
    if not body:
        return
    if request.content_length is None and len(body) >= current.settings.max_body_bytes:
        raise RequestEntityTooLarge  # what came in chunks was cut there without a word
    if not request.is_json:
        raise errors.UnsupportedMediaType("The body must be application/json.")
    if takes_any:
        return
    members = conventions.read_json(request)
    if not isinstance(members, dict):
        raise Invalid({"body": ["this request takes none"]})
    if members:
        raise Invalid({name: ["Unknown field."] for name in members})


# -- out


def _dress(answer: Response) -> Response:
    headers = answer.headers
    headers["X-Request-Id"] = g.get("request_id", "")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "no-referrer"
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.setdefault("Cache-Control", "no-store")
    answer.vary.add("Origin")
    if request.method == "OPTIONS" and "Access-Control-Allow-Origin" in headers:
        headers["Access-Control-Allow-Methods"] = _METHODS
        headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
    return answer


def _log(answer: Response) -> Response:
    """One line a request: never a body, a query or a header."""
    if request.method != "OPTIONS":
        caller = g.get("ctx")
        log.info(
            "request",
            method=request.method,
            route=request.url_rule.rule if request.url_rule is not None else None,
            status=answer.status_code,
            ms=round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1),
            user=caller.caller.username if caller is not None else None,
            address=request.remote_addr,
            request_id=g.get("request_id"),
        )
    return answer
