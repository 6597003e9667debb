"""The control port: what tests and demonstrations do to a lab from outside. Plain HTTP on loopback, no password."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from app.lab import clock, saving
from app.lab.faults import BadRule
from app.lab.requests import any_size
from app.lab.running import Lab

_Answer = Callable[[Lab, web.BaseRequest], Awaitable[Any]]


class BadRequest(ValueError):
    """400; the text says why."""


async def _object(request: web.BaseRequest) -> dict[str, Any]:
    try:
        value = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(str(error)) from None
    if not isinstance(value, dict):
        raise BadRequest("a JSON object is wanted")
    return value


def _number(request: web.BaseRequest, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise BadRequest(f"{name}: a number is wanted")
    return int(text)


async def _calls(lab: Lab, request: web.BaseRequest) -> Any:
    return {"data": lab.calls.since(_number(request, "since") or 0), "cursor": lab.calls.last}


async def _forget_calls(lab: Lab, _request: web.BaseRequest) -> Any:
    lab.calls.clear()
    return {"data": None}


async def _reset(lab: Lab, _request: web.BaseRequest) -> Any:
    lab.reset()
    return {"data": None}


async def _state(lab: Lab, _request: web.BaseRequest) -> Any:
    return {"data": orjson.Fragment(saving.dump(lab.world))}


async def _set_state(lab: Lab, request: web.BaseRequest) -> Any:
    wanted = await _object(request)
    lab.replace(saving.load(orjson.dumps(wanted.get("data", wanted))))
    return {"data": None}


async def _rules(lab: Lab, _request: web.BaseRequest) -> Any:
    return {"data": [rule.row() for rule in lab.faults.rules]}


async def _add_rule(lab: Lab, request: web.BaseRequest) -> Any:
    return {"data": lab.faults.add(await _object(request)).row()}


async def _remove_rules(lab: Lab, request: web.BaseRequest) -> Any:
    return {"data": lab.faults.remove(_number(request, "id"))}


def _time(lab: Lab) -> dict[str, Any]:
    return {"data": {"time_scale": lab.world.time_scale, "now": clock.now(lab.world)}}


async def _clock(lab: Lab, _request: web.BaseRequest) -> Any:
    return _time(lab)


async def _set_clock(lab: Lab, request: web.BaseRequest) -> Any:
    wanted = await _object(request)
    scale, advance = wanted.get("time_scale"), wanted.get("advance", 0)
    for value in (scale, advance):
        if value is not None and (not isinstance(value, int | float) or value < 0):
            raise BadRequest("time_scale and advance are numbers from 0 up")
    clock.change(lab.world, time_scale=scale, advance=advance)
    lab.changed()
    return _time(lab)


_ANSWERS: dict[tuple[str, str], _Answer] = {
    ("GET", "calls"): _calls,
    ("DELETE", "calls"): _forget_calls,
    ("POST", "reset"): _reset,
    ("GET", "state"): _state,
    ("PUT", "state"): _set_state,
    ("GET", "faults"): _rules,
    ("POST", "faults"): _add_rule,
    ("DELETE", "faults"): _remove_rules,
    ("GET", "clock"): _clock,
    ("PUT", "clock"): _set_clock,
}


def server(lab: Lab) -> web.Server:
    """The HTTP server of the control port: `/__lab__/calls`, `reset`, `state`, `faults`, `clock`."""

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix("/__lab__/").rstrip("/")
        answer = _ANSWERS.get((request.method, name))
        if answer is None or not request.path.startswith("/__lab__/"):
            return _json(404, {"error": f"no {request.method} {request.path}"})
        try:
            return _json(200, await answer(lab, request))
        except (BadRequest, BadRule, saving.BadState) as error:
            return _json(400, {"error": str(error)})

    return web.Server(serve, request_factory=any_size, access_log=None)


def _json(status: int, value: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
