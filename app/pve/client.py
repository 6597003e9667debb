"""One cluster as one identity sees it; the adapter that deals with what proxmoxer and PVE do to careless callers.

Of proxmoxer 2.3 the tree of resources is used; its session is not, as that one takes its own view of certificates,
errors, time-outs and non-JSON answers. Paths are not normalised by it: every segment is proven here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests
from proxmoxer.core import ProxmoxResource

from app.domain.errors import PveUnreachable
from app.domain.identifiers import MalformedIdentifier, NodeName, TokenId
from app.pve import parameters
from app.pve.access import AccessApi, make_token
from app.pve.cluster import ClusterApi, PveVersion, version_of
from app.pve.endpoint import ApiToken, Endpoint
from app.pve.line import Line
from app.pve.nodes import NodeApi
from app.pve.pools import PoolsApi
from app.pve.speaking import Path, Scalar
from app.pve.transport import Answers, CountedAnswers, connecting_failed, exchange, judge, loss, send, session
from app.pve.upload import Form

#: Of a GET, all within one time-out of the endpoint.
ATTEMPTS = 3
FIRST_PAUSE = 0.2
#: A write waits longer than PVE does for its own locks (10 s): its "got timeout" then arrives, and not ours.
WRITE_PATIENCE = 1.5
#: Seconds between two parts of an upload, and after the last one: a node hands the file on to the one that is meant.
UPLOAD_PATIENCE = 300.0


class Client:
    """Speaks to one endpoint with one token. Thread-safe. Raises domain errors only, and MalformedIdentifier."""

    def __init__(self, line: Line, token: ApiToken) -> None:
        self.identity: TokenId = token.id
        self._line = line
        self._session = session(line.adapter, token)
        self._base = f"{line.endpoint.url}/api2/json"

    def get(self, path: Path, params: Mapping[str, Scalar] | None = None) -> Any:
        """Tried again, with back-off, while PVE cannot be reached and the endpoint's time-out is not used up."""
        return self._get(path, params, Answers())

    def get_counted(self, path: Path, params: Mapping[str, Scalar] | None = None) -> tuple[Any, int]:
        """`get` of a page of rows, and how many there are in all."""
        rows, total = self._get(path, params, CountedAnswers())
        return rows, total

    def _get(self, path: Path, params: Mapping[str, Scalar] | None, answers: Answers) -> Any:
        timeout = self._line.endpoint.timeout
        until = time.monotonic() + timeout
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._call("GET", path, params, timeout, answers=answers)
            except PveUnreachable as error:
                pause = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311
                if attempt == ATTEMPTS or "retry_after" in error.members or time.monotonic() + pause >= until:
                    raise
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def ask_once(self, path: Path, *, timeout: float) -> Any:
        """A GET whose silence says nothing of the node: a guest's agent."""
        return self._call("GET", path, None, min(timeout, self._line.endpoint.timeout), silence_counts=False)

    def post(self, path: Path, params: Mapping[str, Scalar] | None = None) -> Any:
        return self._write("POST", path, params)

    def upload(self, path: Path, form: Form) -> Any:
        """POST a form that is made while it is sent. Never repeated: what it is made of is gone then."""
        url = "/".join([self._base, *map(_segment, path)])
        headers = {"Content-Type": form.content_type}
        with self._line.slot(None):
            answer = send(self._session, "POST", url, UPLOAD_PATIENCE, data=form, headers=headers)
        return Answers().loads(answer)

    def put(self, path: Path, params: Mapping[str, Scalar]) -> Any:
        return self._write("PUT", path, params)

    def delete(self, path: Path, params: Mapping[str, Scalar] | None = None) -> Any:
        """Parameters go into the query: PVE answers a DELETE with a body with 501."""
        return self._write("DELETE", path, params)

    def _write(self, method: str, path: Path, params: Mapping[str, Scalar] | None) -> Any:
        parameters.check(method, path, _on_the_wire(params or {}))
        return self._call(method, path, params, self._line.endpoint.timeout * WRITE_PATIENCE)

    def _call(
        self,
        method: str,
        path: Path,
        params: Mapping[str, Scalar] | None,
        timeout: float,
        *,
        silence_counts: bool = True,
        answers: Answers | None = None,
    ) -> Any:
        node = str(path[1]) if len(path) > 1 and path[0] == "nodes" else None
        resource = ProxmoxResource(
            base_url="/".join([self._base, *map(_segment, path)]),
            session=_Exchange(self._line, self._session, node, timeout, silence_counts),
            serializer=answers or Answers(),
        )
        return getattr(resource, method.lower())(**_on_the_wire(params or {}))


class _Exchange:
    """What proxmoxer takes for its session, for one call."""

    def __init__(
        self, line: Line, through: requests.Session, node: str | None, timeout: float, silence_counts: bool
    ) -> None:
        self._line = line
        self._through = through
        self._node = node
        self._timeout = timeout
        self._silence_counts = silence_counts

    def request(
        self, method: str, url: str, data: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> requests.Response:
        with self._line.slot(self._node):
            try:
                response = exchange(self._through, method, url, self._timeout, data=data, params=params)
            except requests.RequestException as error:
                connecting = connecting_failed(error)
                if connecting or self._silence_counts:
                    self._line.failed(self._node, connecting=connecting)
                raise loss(error, method) from None
        self._line.answered(self._node)
        return judge(method, response)


class Pve:
    """One cluster, seen with one identity. Made by `PveConnections.connect`; cheap to keep, thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.identity = client.identity
        self.cluster = ClusterApi(client)
        self.access = AccessApi(client)
        self.pools = PoolsApi(client)

    def node(self, name: NodeName) -> NodeApi:
        return NodeApi(self._client, NodeName.parse(name))

    def version(self) -> PveVersion:
        return version_of(self._client.get(("version",)))

    @staticmethod
    def make_token(endpoint: Endpoint, userid: str, password: str, name: str) -> str:
        """Log in once with a password and make a token with all of the user's rights; returns its secret.

        For the first start only. A token of that name is replaced. Raises PveDenied on a wrong password.
        """
        return make_token(endpoint, userid, password, name)


def _segment(part: str | int) -> str:
    """One segment of a path. PVE decodes `%2F` before it routes, so a slash cannot be sent as data at all."""
    text = str(part)
    if text in ("", ".", "..") or "/" in text or "\\" in text or not text.isprintable():
        raise MalformedIdentifier("path segment")
    return quote(text, safe=":@!")


def _on_the_wire(params: Mapping[str, Scalar]) -> dict[str, str | int | float]:
    """PVE's booleans are exactly 0 and 1; None is a parameter not sent."""
    return {key: int(value) if isinstance(value, bool) else value for key, value in params.items() if value is not None}
