"""JSON by orjson: times as RFC 3339 in UTC."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from flask.json.provider import JSONProvider


class Provider(JSONProvider):
    def dumps(self, obj: Any, **_: Any) -> str:
        return _bytes(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return answer(self._prepare_response_obj(args, kwargs))


def answer(document: Any, status: int = 200) -> Response:
    """A document that is made of JSON values and times."""
    return Response(_bytes(document), status, mimetype="application/json")


def _bytes(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
