"""Rate limits by Flask-Limiter, shared by all processes where there is Redis.

Three classes: failed log-ins by address and name; changes, and reads, by user, or by address where nobody is logged in.
`RateLimit-*` headers tell the class of the request; `Retry-After` stands on a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
from flask import Flask, Response, g, request
from flask_limiter import ApplicationLimit, Limiter

from app.config import Settings
from app.domain.tenants import canonical_name

_LOG_IN = "/api/auth/login"
_READS = frozenset({"GET", "HEAD"})


def limiter(settings: Settings) -> Callable[[Flask], None]:
    """What installs the limits in an application."""

    def install(app: Flask) -> None:
        app.config["RATELIMIT_ENABLED"] = settings.ratelimit_enabled
        built = Limiter(
            _caller,
            application_limits=[
                ApplicationLimit(
                    settings.ratelimit_login, key_function=_log_in_name, scope="log-in",
                    exempt_when=lambda: not _is_log_in(), deduct_when=lambda answer: answer.status_code == 401,
                ),
                ApplicationLimit(settings.ratelimit_writes, scope="writes", exempt_when=_is_read),
                ApplicationLimit(settings.ratelimit_reads, scope="reads", exempt_when=lambda: not _is_read()),
            ],
            storage_uri=settings.redis_url or "memory://",
            strategy="sliding-window-counter",
            # Redis away must log nobody out: each process counts for itself until it is back
            in_memory_fallback_enabled=True,
            key_prefix="poolhouse",
        )  # fmt: skip
        app.after_request(lambda answer: _tell(answer, built))
        built.init_app(app)

    return install


def _is_read() -> bool:
    return request.method in _READS


def _is_log_in() -> bool:
    return request.url_rule is not None and request.url_rule.rule == _LOG_IN


def _caller() -> str:
    return f"user:{g.ctx.caller.user}" if "ctx" in g else f"address:{request.remote_addr}"


def _log_in_name() -> str:
    """One name in all its spellings, tried from one address."""
    try:
        name = orjson.loads(request.get_data())["username"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        name = None
    return f"{request.remote_addr}:{canonical_name(name[:300]) if isinstance(name, str) else ''}"


def _tell(answer: Response, built: Limiter) -> Response:
    current = built.current_limit
    if current is None:
        return answer
    rest = max(0, round(current.reset_at - time.time()))
    answer.headers["RateLimit-Limit"] = str(current.limit.amount)
    answer.headers["RateLimit-Remaining"] = str(max(0, current.remaining))
    answer.headers["RateLimit-Reset"] = str(rest)
    if answer.status_code == 429:
        answer.headers["Retry-After"] = str(max(1, rest))
    return answer
