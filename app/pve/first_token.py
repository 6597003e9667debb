"""The one thing that is done with a password: making the API token that everything else is done with."""

from __future__ import annotations

from typing import Any

import requests

from app.domain.errors import PveDenied, PveRefused, PveUnreachable
from app.domain.identifiers import TokenId

_TIMEOUT = 15.0


def make(url: str, ca_file: str, password: str, token: TokenId) -> str:
    """The secret of a new token with all of its user's rights; one of this name that is there is replaced.

    Raises PveDenied for a wrong password, PveUnreachable, PveRefused.
    """
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca_file
        try:
            return _with(session, f"{url}/api2/json/access", password, token)
        except requests.RequestException as error:
            raise PveUnreachable("The cluster cannot be reached.", upstream=str(error)) from error


def _with(session: requests.Session, access: str, password: str, token: TokenId) -> str:
    answer = session.post(f"{access}/ticket", {"username": token.user, "password": password}, timeout=_TIMEOUT)
    if answer.status_code == 401:
        raise PveDenied("The cluster did not accept the password.", upstream=answer.reason)
    ticket = _data(answer)
    session.cookies.set("PVEAuthCookie", ticket["ticket"])
    session.headers["CSRFPreventionToken"] = ticket["CSRFPreventionToken"]
    path = f"{access}/users/{token.user}/token/{token.name}"
    if any(row["tokenid"] == token.name for row in _data(session.get(path.rpartition("/")[0], timeout=_TIMEOUT))):
        _data(session.delete(path, timeout=_TIMEOUT))
    secret: str = _data(session.post(path, {"privsep": "0"}, timeout=_TIMEOUT))["value"]
    return secret


def _data(answer: requests.Response) -> Any:
    if answer.status_code != 200:
        raise PveRefused("The cluster refused to make a token.", upstream=answer.reason)
    return answer.json()["data"]
