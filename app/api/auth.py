"""Log-in and what a caller does to his own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g, request
from flask.views import MethodView
from flask_jwt_extended import create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from app import current
from app.api.conventions import blp
from app.api.legacy import words
from app.api.schemas.auth import LogInSchema, PasswordChangeSchema, ProfileSchema, RefreshSchema, TokensSchema
from app.domain.access import UserRole
from app.domain.errors import Unauthenticated
from app.domain.tenants import LogIn, User


class LogInView(MethodView):
    @blp.arguments(LogInSchema, example={"username": "admin", "password": "the password that `make run` printed"})
    @blp.response(200, TokensSchema)
    def post(self, given: dict[str, str]) -> Mapping[str, Any]:
        """Log in"""
        return _tokens(current.services.auth.log_in(**given, address=_address(), request_id=g.request_id))


class RefreshView(MethodView):
    @blp.arguments(RefreshSchema, required=False, example={"refresh_token": "as log-in gave it"})
    @blp.response(200, TokensSchema)
    def post(self, given: dict[str, str]) -> Mapping[str, Any]:
        """Exchange a refresh token for new tokens

        The refresh token is in the body, or is the bearer. It works once: used a second time, it ends the log-in.
        """
        session, refresh_id = _refresh_claims(given.get("refresh_token") or _bearer())
        return _tokens(current.services.auth.refresh(session, refresh_id, address=_address(), request_id=g.request_id))


class LogOutView(MethodView):
    @blp.response(204)
    def post(self) -> None:
        """Log out: this log-in's tokens end at once"""
        current.services.auth.log_out(current.ctx)


class MeView(MethodView):
    @blp.response(200, ProfileSchema)
    def get(self) -> Mapping[str, Any]:
        """Who am I"""
        found = current.services.auth.me(current.ctx)
        return _profile(found.user, found.tenants, found.quota)


class PasswordView(MethodView):
    @blp.arguments(
        PasswordChangeSchema, example={"current_password": "the old one", "new_password": "a long enough new one"}
    )
    @blp.response(204)
    def post(self, given: dict[str, str]) -> None:
        """Change my password; my other log-ins end"""
        current.services.auth.change_password(current.ctx, given["current_password"], given["new_password"])


def _tokens(log_in: LogIn) -> Mapping[str, Any]:
    claims = {"sid": log_in.session}
    return {
        "access_token": create_access_token(log_in.user.id, additional_claims=claims),
        "refresh_token": create_refresh_token(log_in.user.id, additional_claims={**claims, "rid": log_in.refresh_id}),
        "token_type": "bearer",
        "expires_in": current.settings.access_token_minutes * 60,
        "user": _profile(log_in.user, log_in.tenants, log_in.quota),
    }


def _refresh_claims(token: str) -> tuple[str, str]:
    try:
        claims = decode_token(token)
        if claims["type"] == "refresh":
            return str(claims["sid"]), str(claims["rid"])
    except (JWTExtendedException, PyJWTError, KeyError):
        pass
    raise Unauthenticated("This is no valid refresh token.", code="auth.expired", remedy="Log in again.")


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _address() -> str:
    return request.remote_addr or ""


def _profile(user: User, tenants: Any, quota: Mapping[str, Mapping[str, int | None]]) -> Mapping[str, Any]:
    """USER of the log-in, with the front end's words beside our own."""
    return {
        "id": user.id,
        "username": user.username,
        "email": "",
        "is_admin": user.role == UserRole.ADMIN,
        "role": user.role,
        "tenants": tenants,
        "quota": {part: {**quota[part], **words.quota(quota[part])} for part in ("limit", "used")},
    }
