"""The API's door: TLS, tickets, envelopes, reason phrases, as pveproxy has them (facts.md sections 1 to 3)."""

import asyncio
import email.utils
import logging
import re
import socket
import ssl
import struct
import time
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.web_protocol import RequestHandler

from app.lab import bodies, clock, faults
from app.lab.access import tickets
from app.lab.access.rights import Identity
from app.lab.bodies import Address, Unreadable
from app.lab.call import Refused, Reply
from app.lab.consoles import sockets
from app.lab.consoles.sockets import ConsoleSocket, NobodyListens, Opening
from app.lab.dispatch import Caller, NodeAway
from app.lab.requests import any_size
from app.lab.running import Lab

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_LATE = 3.0
"""PVE seconds that every 401 is held back."""
_SILENT = 5.0
"""PVE seconds after which an upload without a multipart body is dropped without an answer."""
_JSON = "application/json;charset=UTF-8"
_SERVER = {"Server": "pve-api-daemon/3.0", "Cache-Control": "max-age=0", "Pragma": "no-cache"}
_OPEN = frozenset(
    {
        ("GET", "/access/domains"),
        ("GET", "/access/ticket"),
        ("POST", "/access/ticket"),
        ("POST", "/access/openid/login"),
        ("POST", "/access/openid/auth-url"),
    }
)
"""Calls that need no credentials."""
_UPLOAD = re.compile(r"/nodes/[^/]+/storage/[^/]+/upload")
_KEEP_ALIVE_SECONDS = 5.0
_REQUESTS_PER_CONNECTION = 100
_MOST_HEADERS = 64
_LINGER_SECONDS = 1.0
"""For which the rest of a refused body is read, so that its sender gets to see the refusal."""
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LONGEST_REASON = 8000
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: whatever is not sent is thrown away, and the other side gets a reset."""


_log = logging.getLogger(__name__)


class Cut(Exception):
    """The connection ends here: with a TCP reset, gently so that what was sent arrives, or just so."""

    def __init__(self, *, reset: bool = False, gently: bool = False) -> None:
        super().__init__()
        self.reset = reset
        self.gently = gently


class Connection(RequestHandler):
    """A connection that answers unknown methods as PVE does, instead of aiohttp's 400."""

    begun: bytes = b""

    @property
    def used_up(self) -> bool:
        """Whether PVE would close it after so many requests."""
        return self._request_count >= _REQUESTS_PER_CONNECTION

    def data_received(self, data: bytes) -> None:
        self.begun = data[:40]
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, BadHttpMethod) and (found := re.match(rb"[A-Za-z]+ ", self.begun)):
            return _plain(501, f"method '{found[0].decode().strip()}' not available", "")
        if status == 400:
            return _plain(400, "Bad Request", message or "")
        return super().handle_error(request, status, exc, message)


class Door(web.Server):
    """The HTTP server of one lab."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(
            self.serve,
            request_factory=any_size,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            max_headers=_MOST_HEADERS,
            lingering_time=_LINGER_SECONDS,
            # A body is taken as it comes, so that a small one can not become a large one.
            auto_decompress=False,
            access_log=None,
        )
        self._lab = lab
        self._date: tuple[int, str] = (0, "")

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors close the connection, as PVE does."""
        visit = Visit(self._lab, request)
        response: web.StreamResponse
        try:
            response = await visit.answer()
        except (bodies.SenderGone, NobodyListens):
            response = _cut(request, Cut())
        except Cut as cut:
            response = _cut(request, cut)
        except Exception:  # noqa: BLE001 -- the edge: a broken handler must not look like a broken network
            _log.exception("%s %s", request.method, visit.path)
            response = _refusal("json", Refused(500, "internal error of the lab"))
        visit.note(0 if response.status == _CUT else response.status)
        response.headers["Date"] = self._today()
        if isinstance(response, ConsoleSocket):
            await response.talk(request)
            self._lab.changed()
        connection = request.protocol
        if response.status >= 400 or (isinstance(connection, Connection) and connection.used_up):
            response.force_close()
        return response

    def _today(self) -> str:
        """The `Date` of now, by the clock of the node that answers."""
        second = int(clock.wall(self._lab.world))
        if second != self._date[0]:
            self._date = second, email.utils.formatdate(second, usegmt=True)
        return self._date[1]


_CUT = 599


def _cut(request: web.BaseRequest, cut: Cut) -> web.Response:
    transport = request.transport
    if transport is not None:
        if cut.reset:
            plain: socket.socket = transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if cut.gently:
            transport.close()
        else:
            transport.abort()
    return web.Response(status=_CUT)


class Visit:
    """One request on its way to its answer."""

    def __init__(self, lab: Lab, request: web.BaseRequest) -> None:
        self._lab = lab
        self._request = request
        self.path = request.raw_path.partition("?")[0]
        self.user = ""
        self.parameters: bodies.Params = {}
        self._opening: Opening | None = None
        self._began = time.monotonic()

    async def answer(self) -> web.StreamResponse:
        request = self._request
        try:
            if request.method not in _METHODS:
                raise Unreadable(501, f"method '{request.method}' not available", body=False)
            if "Transfer-Encoding" in request.headers:
                raise Unreadable(501, "chunked transfer encoding not supported")
            address = bodies.parse_address(request.raw_path)
            self.path = "/" + "/".join(part for part in address.path.split("/") if part)
            self.parameters = address.query
            presented, token = self._credentials()
            who = self._who(address.path, presented, token)
            self.user = who.name if who else ""
            return await self._served(address, Caller(who, by_token=token is not None))
        except Unreadable as refusal:
            return _plain(refusal.status, refusal.reason, refusal.body)
        except tickets.NotAuthenticated as refusal:
            await self._hold_back()
            return _plain(401, str(refusal), "")
        except NodeAway as away:
            return _plain(595, str(away), "")

    def _credentials(self) -> tuple[str | None, str | None]:
        """(ticket, API token): a ticket goes before a token, and may also come in the header of tokens."""
        headers = self._request.headers
        authorization = headers.get("Authorization", "")
        ticket = tickets.cookie(headers.get("Cookie", "")) or tickets.cookie(authorization)
        return ticket, authorization if ticket is None and authorization.startswith("PVEAPIToken") else None

    def _who(self, path: str, ticket: str | None, token: str | None) -> Identity | None:
        """Who asks; None for calls that need no credentials, written as they are. Raises NotAuthenticated."""
        request, world = self._request, self._lab.world
        if (request.method, path) in _OPEN:
            return None
        if token is not None:
            return tickets.of_token(world, token)
        writes = request.method != "GET" and not _UPLOAD.fullmatch(self.path)
        return tickets.of_cookie(world, ticket, request.headers.get("CSRFPreventionToken"), writes=writes)

    async def _served(self, address: Address, caller: Caller) -> web.StreamResponse:
        rule = self._lab.faults.of_call(self._request.method, self.path, self.user)
        if rule:
            await self._struck(rule)
            if rule.kind == "unreachable":
                return _plain(*faults.answer(rule), "")
        if address.formatter not in ("json", "extjs"):
            raise Unreadable(501, f"no formatter for uri {address.path}, {address.formatter}")
        response = await self._answered(address, caller, rule)
        if rule and rule.kind in ("lost_reply", "half_answer", "reset"):
            await self._cut_short(rule, response)
        if self._opening and sockets.is_wanted(self._request):
            return sockets.upgrade(self._request, self._lab.world, self._opening)
        return response

    async def _struck(self, rule: faults.Rule) -> None:
        """What a rule does before the work."""
        if rule.kind == "delay":
            await asyncio.sleep(rule.wait(f"{self._request.method} {self.path} {self.user}"))
        if rule.kind == "expired":
            raise tickets.NotAuthenticated("Authentication failed!")
        if rule.kind == "close" or (rule.kind == "reset" and rule.at <= 0):
            raise Cut(reset=rule.kind == "reset")

    async def _cut_short(self, rule: faults.Rule, response: web.Response) -> None:
        """What a rule does after the work: a part of the answer goes out, or nothing."""
        if rule.kind != "lost_reply":
            body = response.body if isinstance(response.body, bytes) else b""
            begun = web.StreamResponse(status=response.status, reason=response.reason, headers=response.headers)
            begun.content_length = len(body)
            await begun.prepare(self._request)
            await begun.write(body[: int(len(body) * rule.at / 100)])
        raise Cut(reset=rule.kind == "reset", gently=rule.kind == "half_answer")

    async def _answered(self, address: Address, caller: Caller, rule: faults.Rule | None) -> web.Response:
        try:
            if rule and rule.kind == "refuse":
                raise Refused(*faults.answer(rule))
            params, upload = await self._given(address, caller)
            # Browsers' clients add a number of their own so that nothing is taken from a cache.
            params.pop("_dc", None)
            self.parameters = params
            if rule and rule.kind == "duplicate":
                await self._delivered_before(address, caller, params, upload)
            reply = await self._done(address, caller, params, upload)
        except Refused as refusal:
            if refusal.status == 401:
                await self._hold_back()
            return _refusal(address.formatter, refusal)
        finally:
            if self._request.method != "GET":
                self._lab.changed()
        self._opening = reply if isinstance(reply, Opening) else None
        return _success(address.formatter, reply)

    async def _delivered_before(
        self, address: Address, caller: Caller, params: bodies.Params, upload: bodies.Upload | None
    ) -> None:
        """The same call once before, whose answer nobody gets."""
        status = 200
        try:
            await self._done(address, caller, params, upload)
        except Refused as refusal:
            status = refusal.status
        self.note(status)

    async def _hold_back(self) -> None:
        """401s come late; while the time stands still they would not come at all, which is of no use to anybody."""
        if not clock.stands(self._lab.world):
            await clock.sleep(self._lab.world, _LATE)

    def note(self, status: int) -> None:
        """Write the call down."""
        lab, seconds = self._lab, time.monotonic() - self._began
        lab.calls.add(
            clock.now(lab.world), self._request.method, self.path, self.user, status, seconds, self.parameters
        )

    async def _given(self, address: Address, caller: Caller) -> tuple[bodies.Params, bodies.Upload | None]:
        """What came in the query and the body."""
        request = self._request
        length = request.content_length or 0
        if length and request.method not in ("POST", "PUT"):
            raise Unreadable(501, f"Unexpected content for method '{request.method}'")
        content_type = request.headers.get("Content-Type", "")
        if request.method == "POST" and _UPLOAD.fullmatch(self.path):
            return await self._uploaded(address, caller, content_type)
        if length > bodies.MOST_BYTES:
            raise Unreadable(501, "for data too large")
        if request.method in ("POST", "PUT") and (length or "json" in content_type):
            return {**bodies.parse_body(content_type, await bodies.read(request)), **address.query}, None
        return address.query, None

    async def _done(self, address: Address, caller: Caller, params: bodies.Params, upload: bodies.Upload | None) -> Any:
        lab = self._lab
        target = lab.dispatch.find(self._request.method, address.path)
        return await lab.dispatch.run(lab.world, caller, target, params, upload)

    async def _uploaded(
        self, address: Address, caller: Caller, content_type: str
    ) -> tuple[bodies.Params, bodies.Upload | None]:
        lab = self._lab
        if not bodies.is_multipart(content_type):
            await clock.sleep(lab.world, _SILENT)
            raise Cut
        target = lab.dispatch.find("POST", address.path)
        lab.dispatch.allow(lab.world, caller, target, address.query)
        params, file = await bodies.read_multipart(self._request, address.query)
        return {**params, **address.query}, file


def _plain(status: int, reason: str, body: str) -> web.Response:
    response = web.Response(status=status, reason=_one_line(reason), headers=_SERVER)
    if body:
        response.text = body
        response.content_type = "text/plain"
    response.force_close()
    return response


def _one_line(text: str) -> str:
    """What fits a status line: the first line, without control characters, and not without end."""
    return _CONTROLS.sub(" ", text.split("\n", 1)[0])[:_LONGEST_REASON]


def _success(formatter: str, result: Any) -> web.Response:
    reply = result if isinstance(result, Reply) else Reply(result)
    if reply.text is not None:
        return web.Response(text=reply.text, headers=_SERVER)
    body = {"data": reply.data, **reply.beside}
    return _enveloped(200, "OK", {**body, "success": 1} if formatter == "extjs" else body)


def _refusal(formatter: str, refusal: Refused) -> web.Response:
    # A method that is not there is told without the newline that ends all other messages.
    text = refusal.message if refusal.status == 501 or refusal.message.endswith("\n") else f"{refusal.message}\n"
    body: dict[str, Any] = {"data": None, "message": text}
    if refusal.errors:
        body["errors"] = refusal.errors
    if formatter == "extjs":
        # Perl keeps the code of an exception as a string and its own as a number.
        status = refusal.status if refusal.status >= 500 else str(refusal.status)
        return _enveloped(200, "OK", body | {"success": 0, "status": status})
    return _enveloped(refusal.status, _one_line(refusal.message), body)


def _enveloped(status: int, reason: str, body: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status,
        reason=reason,
        body=orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS),
        headers={**_SERVER, "Content-Type": _JSON},
    )


def tls(certificate: str, key: str) -> ssl.SSLContext:
    """The context of a certificate and its key, given as the names of their files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
