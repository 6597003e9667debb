"""AppError, and whatever libraries raise, to status and `application/problem+json` (RFC 9457): the only translation.

Every problem also has `error` and `description`, both its `detail`: one sentence, as front ends show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.domain import errors
from app.domain.errors import AppError, NotFound

CONTENT_TYPE = "application/problem+json"
INTERNAL = ("internal", "Internal error", "Something went wrong on our side; it is in our log under this request id.")

#: Looked up along a class's ancestors, so that a subclass without a line of its own has its parent's.
STATUSES: Mapping[type[AppError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.CapacityExceeded: 507,
    errors.TooSoon: 429,
    errors.RestartFailed: 502,
    errors.FetchFailed: 502,
    errors.Unavailable: 503,
    errors.QemuAway: 503,
    errors.QemuRefused: 502,
    errors.QemuAbsent: 502,
    errors.QemuForeign: 502,
    errors.QemuConflict: 409,
    errors.PveError: 502,
    errors.PveChanged: 412,
    errors.PveUnreachable: 503,
    errors.PveAway: 503,
    errors.PveTimeout: 504,
    errors.PveLocked: 423,
    AppError: 500,
}
#: Of an operation's stored error only the code is left; of its own codes the first word decides.
_CODES = {kind.code: status for kind, status in STATUSES.items()} | {
    "quota.exceeded": 403,
    "pve.absent": 502,
    "qemu.agent_absent": 502,
    "qemu.busy": 503,
    "qemu.disk_failed": 502,
    "qemu.file_missing": 502,
    "qemu.incomplete": 502,
    "qemu.network_unguarded": 502,
    "qemu.not_installed": 503,
    "qemu.off": 503,
    "backup.refused": 422,
    "image.refused": 422,
    "url.forbidden": 422,
    "restart.shutdown_timeout": 504,
    "restart.watch_timeout": 504,
}
_FIRST_WORDS = {
    "backup": 409, "disk": 409, "drift": 409, "guest": 409, "operation": 409, "policy": 403, "pool": 409, "pve": 502,
    "qemu": 409, "restart": 502, "security_group": 409, "snapshot": 409, "template": 502, "tenant": 409, "url": 502,
    "user": 409, "vmid": 409, "volume": 409,
}  # fmt: skip

_RETRY_AFTER = {503: "5", 504: "5", 423: "5"}

#: What the web framework refuses before one of our services is asked: status -> code, title, detail.
_REFUSALS = {
    400: ("request.malformed", "Malformed request", "The request is not well-formed."),
    404: (NotFound.code, NotFound.title, NotFound().detail),
    405: ("request.method_not_allowed", "Method not allowed", "This address does not take this method."),
    406: ("request.not_acceptable", "Not acceptable", "The answer is not available in the form asked for."),
    408: ("request.timeout", "Request time-out", "The request did not arrive in time."),
    411: ("request.length_required", "Length required", "The request must say how long its body is."),
    413: ("request.too_large", "Request too large", "The body of the request is larger than allowed."),
    414: ("request.too_long", "Address too long", "The address of the request is too long."),
    415: ("request.unsupported_media_type", "Unsupported media type", "The body must be application/json."),
    429: ("rate.exceeded", "Too many requests", "Too many requests: wait a moment."),
    431: ("request.headers_too_large", "Headers too large", "The headers of the request are too large."),
}

log = structlog.get_logger(__name__)


class Malformed(AppError):
    """The body is not JSON."""

    code = "request.malformed"
    title = "Malformed request"


class UnsupportedMediaType(AppError):
    """The body is something else than JSON."""

    code = "request.unsupported_media_type"
    title = "Unsupported media type"


_OWN_STATUSES: Mapping[type[AppError], int] = {Malformed: 400, UnsupportedMediaType: 415}


def install(app: Flask) -> None:
    app.register_error_handler(AppError, of_app_error)
    app.register_error_handler(HTTPException, _of_http_exception)
    app.register_error_handler(Exception, _of_fault)


def status_of(kind: type[AppError]) -> int:
    statuses = {**STATUSES, **_OWN_STATUSES}
    return next(statuses[ancestor] for ancestor in kind.__mro__ if ancestor in statuses)


def of_app_error(error: AppError) -> Response:
    status = status_of(type(error))
    if status >= 500 or error.log:
        log.warning("request.refused", code=error.code, reason=error.log, request_id=g.get("request_id"))
    members = dict(error.members)
    if error.remedy:
        members["remedy"] = error.remedy
    headers = {"WWW-Authenticate": _challenge(error.code)} if status == 401 else {}
    if isinstance(error, errors.TooSoon):
        headers["Retry-After"] = str(error.members["retry_after"])
    return problem(status, error.code, error.title, error.detail, headers, **members)


def document_of(error: AppError) -> dict[str, Any]:
    """A PROBLEM that is a part of an answer."""
    members = {**error.members, **({"remedy": error.remedy} if error.remedy else {})}
    return complete(
        {**members, "code": error.code, "title": error.title, "detail": error.detail, "status": status_of(type(error))}
    )


def of_operation(document: Mapping[str, Any]) -> Response:
    """The error with which an operation ended, as the answer to who waited for it."""
    stored = complete(document)
    known = {"type", "status", "code", "title", "detail", "instance", "request_id", "error", "description"}
    members = {name: value for name, value in stored.items() if name not in known}
    return problem(stored["status"], stored["code"], stored["title"], stored["detail"], {}, **members)


def complete(document: Mapping[str, Any]) -> dict[str, Any]:
    """The stored error of an operation as a PROBLEM."""
    code = str(document.get("code", INTERNAL[0]))
    status = document.get("status") or _CODES.get(code) or _FIRST_WORDS.get(code.split(".")[0], 500)
    given = {"type": "about:blank", "title": INTERNAL[1], "detail": INTERNAL[2], **document}
    return {**given, "code": code, "status": status}


def problem(
    status: int, code: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    document = {
        **members,
        "type": "about:blank", "title": title, "status": status, "detail": detail, "code": code,
        "instance": request.path, "request_id": g.get("request_id", ""), "error": detail, "description": detail,
    }  # fmt: skip
    body = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS, default=str)
    answer = Response(body, status, content_type=CONTENT_TYPE)
    if status in _RETRY_AFTER:
        answer.headers["Retry-After"] = _RETRY_AFTER[status]
    answer.headers.update(headers or {})
    return answer


def _of_http_exception(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < 400:
        return error
    code, title, detail = _REFUSALS.get(error.code) or _REFUSALS[400] if error.code < 500 else INTERNAL
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return problem(error.code, code, title, detail, headers)


def _of_fault(error: Exception) -> Response:
    log.error("request.fault", path=request.path, request_id=g.get("request_id"), exc_info=error)
    return problem(500, *INTERNAL)


def _challenge(code: str) -> str:
    return 'Bearer realm="poolhouse", error="invalid_token"' if code == "auth.expired" else 'Bearer realm="poolhouse"'
