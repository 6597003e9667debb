"""What every route has in common, written once: strict arguments, pages, operations, Idempotency-Key and Prefer.

A view parses, calls one service method and presents. `blp.accepted` presents an operation: 202 with its address, or
with `Prefer: wait=N` its end. Each view that changes something is repeatable with an Idempotency-Key, whose row commits
with the change itself.
"""

from __future__ import annotations

import hmac
import json as standard_json
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import Any, NoReturn, TypeVar

import flask_smorest
import marshmallow
import orjson
from flask import Request, Response, current_app, g, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from webargs import core
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict

from app import current
from app.api import errors, json
from app.api.schemas.fields import is_printable
from app.api.schemas.lists import page_of
from app.api.schemas.operations import OperationSchema
from app.api.schemas.rehearsal import DryRunSchema
from app.domain.access import IdempotencyKey
from app.domain.deployments import Deployed
from app.domain.errors import Busy, Invalid
from app.domain.operations import FINAL_STATES, Operation, OperationState

V = TypeVar("V", bound=Callable[..., Any])
View = Callable[..., Any]
#: What is shown of an Operation in other words than ours; it is given the operation, then what its view was given.
Face = Callable[..., Mapping[str, Any]]
Document = Callable[[Operation], Mapping[str, Any]]

WAITERS = "poolhouse-waiters"
MUTATIONS = frozenset({"post", "put", "patch", "delete"})
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})\"?(?=$|[,;\s])", re.IGNORECASE | re.ASCII)

IDEMPOTENCY_HEADER: Mapping[str, Any] = {
    "in": "header", "name": "Idempotency-Key", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    "description": "Repeat the request with the same key and body as often as you like: it happens once.",
}  # fmt: skip
PREFER_HEADER: Mapping[str, Any] = {
    "in": "header", "name": "Prefer", "required": False, "schema": {"type": "string"},
    "description": "`wait=N`: answer when the operation has ended, or after N seconds (at most 120).",
}  # fmt: skip
DRY_RUN = "dry_run"
DRY_RUN_QUERY: Mapping[str, Any] = {
    "in": "query", "name": DRY_RUN, "required": False, "schema": {"type": "boolean"},
    "description": "`true`: answer with the plan (placement, quota, calls to Proxmox VE, what would be refused) and "
                   "do nothing.",
}  # fmt: skip
IF_MATCH_HEADER: Mapping[str, Any] = {
    "in": "header", "name": "If-Match", "required": False, "schema": {"type": "string"},
    "description": "The ETag of the guest's configuration: changed meanwhile, the request is refused with 412.",
}  # fmt: skip
LOCATION: Mapping[str, Any] = {"Location": {"schema": {"type": "string"}, "description": "The operation's address."}}


class Parser(FlaskParser):
    """Takes what a schema declares and nothing else."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": marshmallow.RAISE}  # noqa: RUF012

    def _raw_load_json(self, req: Request) -> Any:
        return read_json(req) if req.get_data() else core.missing

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        if not may_rehearse(req):
            return super().load_querystring(req, schema)
        given = MultiDict((name, value) for name, value in req.args.items(multi=True) if name != DRY_RUN)
        return self._makeproxy(given, schema)

    def handle_error(
        self, error: marshmallow.ValidationError, req: Request, schema: marshmallow.Schema, **_: Any
    ) -> NoReturn:
        """`error` has the messages of one location (the body, or the query) under its name."""
        messages = error.messages_dict
        (found,) = messages.values() if len(messages) == 1 else (messages,)
        raise Invalid(_by_field(found))


def read_json(req: Request) -> Any:
    """Raises Malformed, and Invalid for a member that is given twice: which of the two was meant nobody knows.

    Two readers, each strict where the other is not: Python's own takes NaN, orjson takes members twice.
    """
    body = req.get_data()
    try:
        found = orjson.loads(body)
        standard_json.loads(body, object_pairs_hook=_refuse_twice)
    except (ValueError, RecursionError) as error:
        raise errors.Malformed("The body is not valid JSON.") from error
    return found


def _refuse_twice(members: list[tuple[str, Any]]) -> None:
    twice = [name for name, times in Counter(name for name, _ in members).items() if times > 1]
    if twice:
        raise Invalid({name: ["is given more than once"] for name in twice})


def _by_field(messages: Any) -> dict[str, Any]:
    """Messages with texts as keys, also for the entries of lists."""
    if not isinstance(messages, Mapping):
        return {"body": messages}
    return {
        "body" if field == "_schema" else str(field): _by_field(inner) if isinstance(inner, Mapping) else inner
        for field, inner in messages.items()
    }


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = Parser()

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._prepare_doc_cbks.append(self._prepare_conventions_doc)

    def arguments(self, schema: type[marshmallow.Schema], **more: Any) -> Callable[[V], V]:
        """What the view takes, as its next argument; `example` is one that works."""
        # an instance: a class would be made into one, its fields copied, at every request
        decorate: Callable[[V], V] = super().arguments(schema(), **more)
        return decorate

    def response(self, status_code: int, schema: Any = None, **more: Any) -> Callable[[V], V]:
        """What the view gives. `once` names members that are shown to the first request only, never to a repeated
        one: they are not stored. `streamed` as of `accepted`."""
        once, streamed = more.pop("once", ()), more.pop("streamed", None)
        document: Callable[[View], View] = super().response(status_code, schema, **more)

        def decorate(view: V) -> V:
            if streamed is not None:
                told = document(_streamed(view))
                told._apidoc["streamed"] = streamed  # type: ignore[attr-defined]
                return told  # type: ignore[return-value]
            shown = _silent(view) if status_code == HTTPStatus.NO_CONTENT else view
            return _repeatable(document(shown), once)  # type: ignore[return-value]

        return decorate

    def accepted(
        self,
        *,
        if_match: bool = False,
        streamed: Mapping[str, Any] | None = None,
        shows: type[marshmallow.Schema] = OperationSchema,
        face: Face | None = None,
    ) -> Callable[[V], V]:
        """The view gives an Operation. `if_match`: it asks for `expected_etags`. `streamed`: it reads its body itself,
        as it comes (`app.api.uploads`), and cannot be repeated with a key; this describes the body. `shows`: with more
        members than an operation has, as a Deployed has them. With a `face`, whose document `shows` describes, who does
        not say how long he waits is taken to have said `wait=` POOLHOUSE_FRONT_END_WAIT, and within that time an
        operation that is in the way may end first."""
        waited = super().response(HTTPStatus.OK, shows, description="With `Prefer: wait`: it has ended.")
        begun = super().response(
            HTTPStatus.ACCEPTED, shows, headers=LOCATION, description="Accepted; follow the operation."
        )

        def decorate(view: V) -> V:
            follow = _streamed(view) if streamed is not None else _repeatable(view, face=face)
            follow = _patient(follow) if face is not None else follow
            follow._apidoc = waited(begun(view))._apidoc  # type: ignore[attr-defined]
            follow._apidoc["is_operation"] = True  # type: ignore[attr-defined]
            follow._apidoc["if_match"] = if_match  # type: ignore[attr-defined]
            follow._apidoc["streamed"] = streamed  # type: ignore[attr-defined]
            return follow  # type: ignore[return-value]

        return decorate

    def many_accepted(
        self, shows: type[marshmallow.Schema], *, member: str | None = None, once: Collection[str] = ()
    ) -> Callable[[V], V]:
        """The view gives what `shows` describes, with many operations: each entry of `data` is one, or has one (or
        null) as this member. With `Prefer: wait=N` each is shown as it is when all have ended or the time is over.
        `once` as of `response`."""
        told = self.response(HTTPStatus.OK, shows, once=once)

        def decorate(view: V) -> V:
            follow = _all_followed(told(view), member)
            follow._apidoc["is_operation"] = True  # type: ignore[attr-defined]
            return follow  # type: ignore[return-value]

        return decorate

    def pages(self, item: type[marshmallow.Schema], query: type[marshmallow.Schema]) -> Callable[[V], V]:
        """A list: the view takes what `query` makes and gives a Page, or a Response that is one already."""

        def decorate(view: V) -> V:
            listed = self.response(HTTPStatus.OK, page_of(item))(view)
            return self.arguments(query, location="query")(listed)

        return decorate

    def _prepare_conventions_doc(
        self, doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any
    ) -> dict[str, Any]:
        """The headers that every operation of its kind takes. Its refusals are written by `app.api.spec`."""
        if doc_info.get("streamed"):
            doc["requestBody"] = dict(doc_info["streamed"])
        elif method in MUTATIONS:
            doc.setdefault("parameters", []).extend([dict(IDEMPOTENCY_HEADER), dict(DRY_RUN_QUERY)])
        if doc_info.get("is_operation"):
            doc.setdefault("parameters", []).append(dict(PREFER_HEADER))
        if doc_info.get("if_match"):
            doc.setdefault("parameters", []).append(dict(IF_MATCH_HEADER))
        return doc


def expected_etags() -> frozenset[str] | None:
    """What the resource may be for the caller to go on (If-Match); None where anything may.

    Weak ones count, too: a proxy that compresses answers makes ours weak on their way out.
    """
    given = request.if_match
    if "If-Match" not in request.headers or given.star_tag:
        return None
    return frozenset(given.as_set(include_weak=True))


def takes(view: type[MethodView], method: str, location: str) -> bool:
    """Whether a view's method declares arguments from a location."""
    documented = getattr(getattr(view, method, None), "_apidoc", {})
    return any(
        isinstance(found, Mapping) and found["in"] == location
        for found in documented.get("arguments", {}).get("parameters", [])
    )


def is_streamed(view: type[MethodView], method: str) -> bool:
    """Whether a view's method reads its body itself."""
    return bool(getattr(getattr(view, method, None), "_apidoc", {}).get("streamed"))


def _silent(view: View) -> View:
    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> Response:
        view(*args, **kwargs)
        return _no_content()

    return answer


def _no_content(status: int = HTTPStatus.NO_CONTENT) -> Response:
    answer = Response(status=status)
    del answer.headers["Content-Type"]
    return answer


# -- once


def _repeatable(view: View, once: Collection[str] = (), face: Face | None = None) -> View:
    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if _is_rehearsal():
            return json.answer(DryRunSchema().dump(current.services.rehearsals.run(lambda: view(*args, **kwargs))))
        document: Document = _own_words if face is None else lambda operation: face(operation, *args[1:], **kwargs)
        key = _idempotency_key()
        if key is None:
            return _presented(view(*args, **kwargs), document)
        with current.services.idempotency.begin(current.ctx, key) as claim:
            stored = claim.replay
            if stored is None:
                found = view(*args, **kwargs)
                operation = found.operation if isinstance(found, Deployed) else found
                if isinstance(operation, Operation):
                    claim.store(HTTPStatus.ACCEPTED, None, operation.id)
                else:
                    claim.store(found.status_code, _without(found, once), None)
        if stored is None:
            return _presented(found, document)
        if stored.operation is not None:
            return _presented(current.services.operations.get(current.ctx, stored.operation), document)
        if stored.body is None:
            return _no_content(stored.status)
        return json.answer(stored.body, stored.status)

    return answer


def may_rehearse(req: Request) -> bool:
    """Whether this request may be a dry run: one of somebody who is logged in that changes something."""
    return req.method.lower() in MUTATIONS and "ctx" in g


def _is_rehearsal() -> bool:
    given = request.args.get(DRY_RUN)
    if given is None or not may_rehearse(request):
        return False
    if given.lower() not in ("true", "false", "1", "0"):
        raise Invalid({DRY_RUN: ["must be true or false"]})
    return given.lower() in ("true", "1")


def _streamed(view: View) -> View:
    """What a key protects is one transaction, and a file takes minutes to come: the file's name is its key."""

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        if "Idempotency-Key" in request.headers:
            raise Invalid(
                {"Idempotency-Key": ["an upload takes none: sent twice, its second is refused, as its name is taken"]}
            )
        if DRY_RUN in request.args:
            raise Invalid({DRY_RUN: ["an upload takes none: what it comes to is known when it is there"]})
        return _presented(view(*args, **kwargs), _own_words)

    return answer


def _patient(view: View) -> View:
    """Outside of the transaction that a key opens: what is waited for could not be written down within it."""

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        patience = _patience(default=current.settings.front_end_wait)
        waited_for = ""
        while True:
            try:
                found: ResponseReturnValue = view(*args, **kwargs)
                return found
            except Busy as busy:
                in_the_way = str(busy.members["operation"]).rpartition("/")[2]
                if patience is None or in_the_way == waited_for or _wait(in_the_way, patience) is None:
                    raise
                waited_for = in_the_way

    return answer


def _all_followed(view: View, member: str | None) -> View:
    """As `_patient`, outside of the transaction that a key opens."""

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> Response:
        found: Response = view(*args, **kwargs)
        patience = None if _is_rehearsal() else _patience()
        if patience is None:
            return found
        body = orjson.loads(found.get_data())
        begun = [entry if member is None else entry[member] for entry in body["data"]]
        shown = {one["id"]: one for one in begun if one is not None}
        for operation in _wait_for_all(list(shown), patience):
            shown[operation.id].update(_own_words(operation))
        followed = json.answer(body, found.status_code)
        followed.headers["Preference-Applied"] = f"wait={patience.seconds}"
        return followed

    return answer


def _idempotency_key() -> IdempotencyKey | None:
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method.lower() not in MUTATIONS or "ctx" not in g:
        return None  # a key is its user's: before the log-in there is nobody, and tokens are not kept to be repeated
    if not 1 <= len(key) <= 128 or not key.isascii() or not is_printable(key):
        raise Invalid({"Idempotency-Key": ["must have 1 to 128 printable ASCII characters"]})
    body = request.get_data()
    content = read_json(request) if body else None
    parsed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    told = b"\n".join([request.method.encode(), request.full_path.encode(), parsed])
    # keyed, because a body may hold a password and the digest is stored
    fingerprint = hmac.digest(current.settings.secret_key, told, "sha256").hex()
    return IdempotencyKey(key, fingerprint, _named_tenant(content))


def _named_tenant(content: Any) -> str:
    if not isinstance(content, Mapping):
        return ""
    named = content.get("tenant") or content.get("poolid")
    return named[:64] if isinstance(named, str) else ""


def _without(answer: Response, once: Collection[str]) -> Mapping[str, Any] | None:
    if not answer.get_data():
        return None
    body: dict[str, Any] = orjson.loads(answer.get_data())
    return {name: value for name, value in body.items() if name not in once}


# -- operations


def _presented(answer: Any, document: Document) -> ResponseReturnValue:
    if isinstance(answer, Deployed):
        return _followed(answer.operation, document, {"password": answer.password} if answer.password else {})
    return _followed(answer, document, {}) if isinstance(answer, Operation) else answer


def _own_words(operation: Operation) -> Mapping[str, Any]:
    shown: Mapping[str, Any] = OperationSchema().dump(operation)
    return shown


def _followed(operation: Operation, document: Document, once: Mapping[str, str]) -> Response:
    """202 with the operation; where the caller wished to wait for it, its end. `once` is shown beside it."""
    patience = _patience()
    if patience is not None and operation.state not in FINAL_STATES:
        operation = _wait(operation.id, patience) or operation
    if patience is None or operation.state not in FINAL_STATES:
        answer = json.answer({**document(operation), **once}, HTTPStatus.ACCEPTED)
    elif operation.state == OperationState.SUCCEEDED:
        answer = json.answer({**document(operation), **once}, HTTPStatus.OK)
    else:
        answer = errors.of_operation(operation.error or {"code": f"operation.{operation.state}"})
    answer.headers["Location"] = f"/api/operations/{operation.id}"
    if patience is not None:
        answer.headers["Preference-Applied"] = f"wait={patience.seconds}"
    return answer


@dataclass(frozen=True)
class Patience:
    """How many seconds a caller waits, and until when that is (`time.monotonic`)."""

    seconds: int
    until: float


def _patience(default: int = 0) -> Patience | None:
    """From the first time that it is asked for in a request; None where nobody waits. A `default` of 0 is none."""
    if "patience" not in g:
        wished = _wait_wished()
        seconds = wished if wished is not None or default == 0 else min(default, current.settings.prefer_wait_max)
        g.patience = None if seconds is None else Patience(seconds, time.monotonic() + seconds)
    patience: Patience | None = g.patience
    return patience


def _wait(operation: str, patience: Patience) -> Operation | None:
    """The operation as it is when it has ended or the time is over; None where there is no place to wait."""
    return next(iter(_wait_for_all([operation], patience)), None)


def _wait_for_all(operations: Sequence[str], patience: Patience) -> Sequence[Operation]:
    """As `_wait`, for several: until all of them have ended. None of them where there is no place to wait."""
    with _waiting() as may_wait:
        left = max(0.0, patience.until - time.monotonic())
        return current.services.operations.wait(current.ctx, operations, left) if may_wait else []


def _wait_wished() -> int | None:
    """RFC 7240: a preference that is not understood is none."""
    found = _PREFER_WAIT.search(", ".join(request.headers.getlist("Prefer")))
    return min(int(found[1]), current.settings.prefer_wait_max) if found else None


@contextmanager
def _waiting() -> Iterator[bool]:
    """Not all threads of a process may wait at once: reads and log-ins need some. False where no place is left."""
    places: BoundedSemaphore = current_app.extensions[WAITERS]
    taken = places.acquire(blocking=False)
    try:
        yield taken
    finally:
        if taken:
            places.release()


blp = Blueprint("api", __name__, url_prefix="/api")
