"""Users of the house (administrators only)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.schemas.users import (
    NewUserSchema,
    TransferSchema,
    UserCreateSchema,
    UserQuerySchema,
    UserSchema,
    UserUpdateSchema,
)
from app.domain.paging import Page, PageRequest
from app.domain.tenants import User


class UsersView(MethodView):
    @blp.pages(UserSchema, UserQuerySchema)
    def get(self, page: PageRequest) -> Page[User]:
        """List users"""
        return current.services.users.list(current.ctx, page)

    @blp.arguments(UserCreateSchema, example={"username": "maria", "role": "user"})
    @blp.response(201, NewUserSchema, once=("password",))
    def post(self, given: dict[str, Any]) -> Mapping[str, Any]:
        """Create a user; a generated password is shown this once"""
        user, password = current.services.users.create(current.ctx, given["username"], given["password"], given["role"])
        shown = {"password": password} if password is not None else {}
        return {**vars(user), **shown}


class UserView(MethodView):
    @blp.response(200, UserSchema)
    def get(self, user: str) -> User:
        """Show a user"""
        return current.services.users.get(current.ctx, user)

    @blp.arguments(UserUpdateSchema, example={"role": "user", "disabled": False})
    @blp.response(200, UserSchema)
    def patch(self, given: dict[str, Any], user: str) -> User:
        """Change a user's role or password, or disable him"""
        return current.services.users.update(current.ctx, user, **given)

    @blp.arguments(TransferSchema, location="query")
    @blp.response(204)
    def delete(self, query: dict[str, str | None], user: str) -> None:
        """Delete a user; `transfer_to` takes his guests"""
        current.services.users.delete(current.ctx, user, transfer_to=query["transfer_to"])
