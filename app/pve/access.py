"""/access: roles, users, tokens and rights. All of it lives in one file of PVE's behind one cluster lock.

Each method is one PVE call that ensures something: what is there already, or gone already, is told by the returned
False and is no error. Whether what was there is ours, the caller tells by its comment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain.errors import PveAbsent
from app.domain.identifiers import MalformedIdentifier, PveUserId, TokenId
from app.pve import failures
from app.pve.answers import Row, rows
from app.pve.endpoint import Endpoint
from app.pve.speaking import Speaker, gone_now, made_now
from app.pve.transport import Answers, login, send


@dataclass(frozen=True)
class AccessUser:
    userid: PveUserId
    comment: str
    enabled: bool


@dataclass(frozen=True)
class AccessToken:
    """`expire` in seconds of epoch, None: never. `privsep`: rights are what user and token both have."""

    id: TokenId
    comment: str
    privsep: bool
    expire: int | None


class AccessApi:
    def __init__(self, client: Speaker) -> None:
        self._client = client

    # -- roles

    def roles(self) -> Mapping[str, frozenset[str]]:
        """Role -> its privileges; PVE's own among them."""
        found = rows(self._client.get(("access", "roles")))
        return {row.text("roleid"): frozenset(row.words("privs")) for row in found}

    def create_role(self, role: str, privileges: Iterable[str]) -> bool:
        params = {"roleid": role, "privs": ",".join(sorted(privileges))}
        return made_now(lambda: self._client.post(("access", "roles"), params))

    def update_role(self, role: str, privileges: Iterable[str]) -> None:
        """Replaces its privileges."""
        self._client.put(("access", "roles", role), {"privs": ",".join(sorted(privileges))})

    # -- users

    def user(self, userid: PveUserId) -> AccessUser:
        """Raises PveAbsent."""
        userid = PveUserId.parse(userid)
        row = Row(self._client.get(("access", "users", userid)))
        return AccessUser(userid, row.text("comment"), row.flag("enable", True))

    def create_user(self, userid: PveUserId, *, comment: str) -> bool:
        """A user without password: only its tokens can be used."""
        params = {"userid": PveUserId.parse(userid), "comment": comment}
        return made_now(lambda: self._client.post(("access", "users"), params))

    def delete_user(self, userid: PveUserId) -> None:
        """Its tokens and its rights go with it; PVE takes one that is not there in silence."""
        self._client.delete(("access", "users", PveUserId.parse(userid)))

    # -- tokens

    def token(self, userid: PveUserId, name: str) -> AccessToken | None:
        """None where there is no such token; PveAbsent where there is no such user."""
        token = _token_id(userid, name)
        try:
            row = Row(self._client.get(_token_path(token)))
        except PveAbsent as error:
            if "no such token" in error.upstream:
                return None
            raise
        return AccessToken(token, row.text("comment"), row.flag("privsep", True), row.number("expire") or None)

    def create_token(self, userid: PveUserId, name: str, *, comment: str) -> str:
        """Make a privilege-separated token; its secret is told this once. One that exists is `pve.exists`."""
        path = _token_path(_token_id(userid, name))
        return _secret(self._client.post(path, {"privsep": True, "comment": comment}))

    def delete_token(self, userid: PveUserId, name: str) -> bool:
        """Its rights go with it."""
        return gone_now(lambda: self._client.delete(_token_path(_token_id(userid, name))))

    # -- rights

    def grant(
        self,
        path: str,
        role: str,
        *,
        user: PveUserId | None = None,
        token: TokenId | None = None,
        propagate: bool = True,
    ) -> None:
        """Repeating it is fine. A privilege-separated token needs the right beside its user."""
        self._client.put(("access", "acl"), {**_right(path, role, user, token), "propagate": propagate})

    def revoke(self, path: str, role: str, *, user: PveUserId | None = None, token: TokenId | None = None) -> bool:
        """False where role, user or token are gone, and with them the right."""
        params = {**_right(path, role, user, token), "delete": True}
        return gone_now(lambda: self._client.put(("access", "acl"), params))

    def permissions(self, path: str | None = None) -> Mapping[str, frozenset[str]]:
        """Path -> the privileges that this identity has on it."""
        answer = Row(self._client.get(("access", "permissions"), {"path": path}))
        return {where: frozenset(Row(privileges).values) for where, privileges in answer.values.items()}


def make_token(endpoint: Endpoint, userid: str, password: str, name: str) -> str:
    """See `Pve.make_token`."""
    token = _token_id(PveUserId.parse(userid), name)
    opened, base = login(endpoint, token.user, password)
    url = "/".join([base, *_token_path(token)])
    try:
        with contextlib.suppress(PveAbsent):
            send(opened, "DELETE", url, endpoint.timeout)
        return _secret(Answers().loads(send(opened, "POST", url, endpoint.timeout, data={"privsep": 0})))
    finally:
        opened.close()


def _secret(answer: object) -> str:
    secret = Row(answer).maybe("value")
    if secret is None:
        raise failures.nonsense("a new token without secret")
    return secret


def _token_id(userid: PveUserId, name: str) -> TokenId:
    return TokenId.parse(f"{PveUserId.parse(userid)}!{name}")


def _token_path(token: TokenId) -> tuple[str, ...]:
    return ("access", "users", token.user, "token", token.name)


def _right(path: str, role: str, user: PveUserId | None, token: TokenId | None) -> dict[str, str | None]:
    if user is None and token is None:
        raise MalformedIdentifier("PVE user or token")
    return {
        "path": path,
        "roles": role,
        "users": None if user is None else PveUserId.parse(user),
        "tokens": None if token is None else TokenId.parse(token),
    }
