"""How bytes reach PVE: TLS as the endpoint wants it, one pool of connections for all credentials of an endpoint."""

from __future__ import annotations

import http.cookiejar
import logging
import ssl
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from app.domain.errors import AppError, PveError
from app.pve import failures
from app.pve.endpoint import ApiToken, Endpoint

CONNECT_TIMEOUT = 5.0

# proxmoxer writes every call at INFO and every answer at DEBUG, passwords and token secrets among them.
logging.getLogger("proxmoxer").setLevel(logging.WARNING)
logging.getLogger("proxmoxer.core").addFilter(lambda record: record.levelno >= logging.WARNING)


class Adapter(HTTPAdapter):
    """The pool of one endpoint; `requests` is kept from putting its own trust in place of the endpoint's."""

    def __init__(self, endpoint: Endpoint, pool_size: int) -> None:
        self._tls = _tls(endpoint)
        super().__init__(pool_connections=1, pool_maxsize=pool_size, max_retries=0)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, dict(self._tls)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: the context of `_tls` says it all."""


def session(adapter: Adapter, token: ApiToken | None) -> requests.Session:
    """A session that takes nothing from the environment and keeps no cookies."""
    made = requests.Session()
    made.trust_env = False
    made.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    made.mount("https://", adapter)
    made.headers["Accept"] = "application/json"
    if token is not None:
        made.headers["Authorization"] = f"PVEAPIToken={token.id}={token.secret}".encode()
    return made


def judge(method: str, response: requests.Response) -> requests.Response:
    """The response, when it is a success; else raises what PVE meant. Redirects are nothing that PVE does."""
    if 200 <= response.status_code <= 299:
        return response
    raise failures.from_answer(method, response.status_code, _reason(response), _json_object(response))


def loss(error: requests.RequestException, method: str) -> AppError:
    """What the lack of an answer means: before anything was sent nothing has happened, later a write may have."""
    text = type(error).__name__
    if isinstance(error, requests.exceptions.SSLError):
        return failures.unreachable(
            "The cluster's certificate is not the one that is expected.", str(error)[: failures.LONGEST_TEXT],
            remedy="Compare the cluster's CA or fingerprint with the one stored here.",
        )  # fmt: skip
    if isinstance(error, requests.ConnectTimeout) or _never_sent(error):
        return failures.unreachable("The cluster cannot be reached.", text)
    if isinstance(error, requests.Timeout) or isinstance(_cause(error), ReadTimeoutError) or method != "GET":
        return failures.timed_out(text)
    return failures.unreachable("The cluster broke the connection.", text)


class Answers:
    """proxmoxer's serializer: its own takes a 200 that is not JSON for an answer."""

    def loads(self, response: requests.Response) -> Any:
        body = _json_object(response)
        if body is None or "data" not in body:
            raise failures.nonsense(f"{response.status_code} without JSON data")
        return body["data"]


class CountedAnswers(Answers):
    """The data of a page, and how many rows PVE has in all, which it writes beside them."""

    def loads(self, response: requests.Response) -> Any:
        rows = super().loads(response)
        total = (_json_object(response) or {}).get("total")
        return rows, total if isinstance(total, int) else len(rows or ())


def connecting_failed(error: requests.RequestException) -> bool:
    """The endpoint itself, not one node behind it, is what cannot be reached."""
    return isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError) or _never_sent(error)


def login(endpoint: Endpoint, userid: str, password: str) -> tuple[requests.Session, str]:
    """A session with a ticket of this user, and the API's address; the caller closes it. Raises PveDenied."""
    opened = session(Adapter(endpoint, 1), None)
    base = f"{endpoint.url}/api2/json"
    try:
        answer = send(
            opened, "POST", f"{base}/access/ticket", endpoint.timeout * 1.5,
            data={"username": userid, "password": password},
        )  # fmt: skip
        ticket = Answers().loads(answer)
        if not isinstance(ticket, Mapping) or "ticket" not in ticket:
            raise failures.nonsense("no ticket in the answer to a log-in")
    except PveError:
        opened.close()
        raise
    opened.headers["Cookie"] = f"PVEAuthCookie={ticket['ticket']}"
    opened.headers["CSRFPreventionToken"] = str(ticket.get("CSRFPreventionToken", ""))
    return opened, base


def send(through: requests.Session, method: str, url: str, timeout: float, **more: Any) -> requests.Response:
    """One exchange, judged; raises domain errors only."""
    try:
        response = exchange(through, method, url, timeout, **more)
    except requests.RequestException as error:
        raise loss(error, method) from None
    return judge(method, response)


def exchange(through: requests.Session, method: str, url: str, timeout: float, **more: Any) -> requests.Response:
    limits = (min(timeout, CONNECT_TIMEOUT), timeout)
    return through.request(method, url, timeout=limits, allow_redirects=False, **more)


def _tls(endpoint: Endpoint) -> Mapping[str, Any]:
    context = ssl.create_default_context(cadata=endpoint.ca_pem)
    # Python 3.13 asks for extensions that PVE's own CA does not write.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if endpoint.fingerprint is None and endpoint.verify:
        return {"ssl_context": context}
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if endpoint.fingerprint is None:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return {"ssl_context": context}
    return {"ssl_context": context, "assert_fingerprint": endpoint.fingerprint}


def _never_sent(error: BaseException) -> bool:
    cause = getattr(_cause(error), "reason", None)
    return isinstance(cause, NewConnectionError | ConnectTimeoutError)


def _cause(error: BaseException) -> object:
    return error.args[0] if error.args else None


def _reason(response: requests.Response) -> str:
    """PVE writes UTF-8 into its reason phrase, which HTTP reads as Latin-1."""
    reason = response.reason or ""
    try:
        return reason.encode("latin-1").decode()
    except UnicodeError:
        return reason


def _json_object(response: requests.Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, Mapping) else None
