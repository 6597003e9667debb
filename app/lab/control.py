"""The control port: what tests and demonstrations do to a lab from outside. Plain HTTP on loopback, no password."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from app.lab import clock, outages, saving
from app.lab.access import tickets
from app.lab.faults import BadRule
from app.lab.numbers import number_of
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
    number = number_of(text)
    if number is None:
        raise BadRequest(f"{name}: a number is wanted")
    return number


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


async def _set_rules(lab: Lab, request: web.BaseRequest) -> Any:
    wanted = (await _object(request)).get("data")
    if not isinstance(wanted, list) or not all(isinstance(row, dict) for row in wanted):
        raise BadRequest('{"data": [RULE, ...]} is wanted')
    lab.faults.replace(wanted)
    return await _rules(lab, request)


async def _remove_rules(lab: Lab, request: web.BaseRequest) -> Any:
    return {"data": lab.faults.remove(_number(request, "id"))}


def _time(lab: Lab) -> dict[str, Any]:
    world = lab.world
    mode = "step" if clock.stands(world) else "run"
    return {"data": {"mode": mode, "time_scale": world.time_scale, "now": clock.now(world)}}


async def _clock(lab: Lab, _request: web.BaseRequest) -> Any:
    return _time(lab)


async def _set_clock(lab: Lab, request: web.BaseRequest) -> Any:
    wanted = await _object(request)
    _refuse_unknown(wanted, {"mode", "time_scale", "advance", "now"})
    mode = wanted.get("mode")
    if mode not in (None, "run", "step"):
        raise BadRequest("mode: run or step is wanted")
    scale, advance, now = (_positive(wanted, name) for name in ("time_scale", "advance", "now"))
    await clock.change(lab.world, stand=mode and mode == "step", time_scale=scale, now_is=now)
    await clock.advance(lab.world, advance or 0)
    lab.changed()
    return _time(lab)


def _refuse_unknown(wanted: dict[str, Any], known: set[str]) -> None:
    if unknown := set(wanted) - known:
        raise BadRequest(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")


def _positive(wanted: dict[str, Any], name: str) -> float | None:
    value = wanted.get(name)
    if value is not None and (not isinstance(value, int | float) or value < 0):
        raise BadRequest(f"{name}: a number from 0 up is wanted")
    return value


async def _end_tickets(lab: Lab, request: web.BaseRequest) -> Any:
    tickets.expire(lab.world, request.query.get("user", ""))
    lab.changed()
    return {"data": None}


async def _set_cluster(lab: Lab, request: web.BaseRequest) -> Any:
    wanted = await _object(request)
    _refuse_unknown(wanted, {"quorate"})
    lab.world.cluster.quorate = int(bool(wanted.get("quorate", 1)))
    lab.changed()
    return {"data": {"quorate": lab.world.cluster.quorate}}


async def _set_node(lab: Lab, request: web.BaseRequest) -> Any:
    name, wanted, world = _last_part(request), await _object(request), lab.world
    _refuse_unknown(wanted, {"online", "reachable", "clock_skew"})
    node = world.nodes.get(name)
    skew = wanted.get("clock_skew", 0)
    if node is None:
        raise BadRequest(f"no node {name}")
    if not isinstance(skew, int | float):
        raise BadRequest("clock_skew: a number of seconds is wanted")
    if "online" in wanted:
        outages.set_online(world, node, bool(wanted["online"]))
    if "reachable" in wanted:
        outages.set_reachable(world, node, bool(wanted["reachable"]))
    node.clock_skew = wanted.get("clock_skew", node.clock_skew)
    lab.changed()
    return {"data": {"online": node.online, "reachable": node.reachable, "clock_skew": node.clock_skew}}


async def _set_guest(lab: Lab, request: web.BaseRequest) -> Any:
    name, wanted = _last_part(request), await _object(request)
    guest = lab.world.guests.get(number_of(name) or 0)
    if guest is None:
        raise BadRequest(f"no guest {name}")
    _refuse_unknown(wanted, set(_OF_GUESTS))
    for key, value in wanted.items():
        if not isinstance(value, _OF_GUESTS[key]):
            raise BadRequest(f"{key}: {value!r} will not do")
    vars(guest).update(wanted)
    lab.changed()
    return {"data": {key: getattr(guest, key) for key in _OF_GUESTS}}


_OF_GUESTS = {
    "agent": bool,
    "deaf": bool,
    "address": str | None,
    "port": int | None,
    "boot_seconds": int | float,
}
"""What the inside of a guest is like, which no call of the API tells."""


def _last_part(request: web.BaseRequest) -> str:
    return request.path.rpartition("/")[2]


_ANSWERS: dict[tuple[str, str], _Answer] = {
    ("GET", "calls"): _calls,
    ("DELETE", "calls"): _forget_calls,
    ("POST", "reset"): _reset,
    ("GET", "state"): _state,
    ("PUT", "state"): _set_state,
    ("GET", "faults"): _rules,
    ("POST", "faults"): _add_rule,
    ("PUT", "faults"): _set_rules,
    ("DELETE", "faults"): _remove_rules,
    ("GET", "clock"): _clock,
    ("PUT", "clock"): _set_clock,
    ("DELETE", "tickets"): _end_tickets,
    ("PUT", "cluster"): _set_cluster,
    ("PUT", "nodes/"): _set_node,
    ("PUT", "guests/"): _set_guest,
}


def server(lab: Lab) -> web.Server:
    """The HTTP server of the control port: `/__lab__/calls`, `reset`, `state`, `faults`, `clock` and so on."""

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix("/__lab__/").rstrip("/")
        answer = _ANSWERS.get((request.method, name.partition("/")[0] + "/" * ("/" in name)))
        if answer is None or not request.path.startswith("/__lab__/"):
            return _json(404, {"error": f"no {request.method} {request.path}"})
        try:
            return _json(200, await answer(lab, request))
        except (BadRequest, BadRule, outages.BadOutage, saving.BadState) as error:
            return _json(400, {"error": str(error)})

    return web.Server(serve, request_factory=any_size, access_log=None)


def _json(status: int, value: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
