"""From a path to an answer, in PVE's order: method, token allowed, permission, node, parameters, work."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.lab import locks
from app.lab.access import checks
from app.lab.access.rights import Identity
from app.lab.bodies import Upload
from app.lab.call import HANDLERS, Call, Refused, TaskFailed
from app.lab.schema import Schema
from app.lab.state import World


class NodeAway(Exception):
    """HTTP 595 with an empty body: the node's proxy does not answer; the text is the reason phrase."""


_WITHOUT_THE_NODE = frozenset({"/nodes/{node}", "/nodes/{node}/wakeonlan"})
"""What the node that is asked answers for another one."""


_ASKING_THE_NODE = frozenset(
    {"/nodes/{node}/storage/{storage}/upload", "/nodes/{node}/termproxy", "/nodes/{node}/vncshell"}
)
"""What PVE brings to the node by itself, without its declaration saying so."""


@dataclass(frozen=True)
class Caller:
    """Who calls, None where that does not matter; and whether an API token was shown, be it looked at or not."""

    who: Identity | None
    by_token: bool


@dataclass(frozen=True)
class Target:
    """A method of the schema that a request means, with the parameters of its path."""

    method: str
    path: str
    template: str
    declared: Mapping[str, Any]
    in_path: Mapping[str, str]


class Dispatch:
    """The one pipeline that all calls go through."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def find(self, method: str, path: str) -> Target:
        """What a decoded path means. Raises Refused 501, which is also PVE's answer to a method the lab has not."""
        found = self._schema.find(path)
        declared = self._schema.paths[found[0]].get(method) if found else None
        if found is None or declared is None or (method, found[0]) not in HANDLERS:
            raise Refused(501, f"Method '{method} {_shown(path)}' not implemented")
        return Target(method, _shown(path), found[0], declared, found[1])

    def allow(self, world: World, caller: Caller, target: Target, params: Mapping[str, Any]) -> None:
        """Refuse what the declaration does not let the caller do, before the parameters are looked at."""
        if caller.by_token and not target.declared.get("allowtoken"):
            text = f"URI '{target.path}' not available with API token, need proper ticket.\n"
            raise Refused(403, f"Permission check failed ({text})")
        try:
            checks.require_declared(world, caller.who, target.declared.get("permissions"), {**params, **target.in_path})
        except checks.Forbidden as forbidden:
            brackets = f" ({forbidden})" if str(forbidden) else ""
            raise Refused(403, f"Permission check failed{brackets}") from None
        except checks.Missing as missing:
            raise Refused(500, str(missing)) from None

    async def run(
        self, world: World, caller: Caller, target: Target, params: Mapping[str, Any], upload: Upload | None = None
    ) -> Any:
        """The handler's data. Raises Refused or NodeAway."""
        given = _merged(target, params)
        self.allow(world, caller, target, given)
        node = _node(world, target)
        checked, errors = self._schema.check(dict(target.declared), given)
        if errors:
            raise Refused.parameters(errors)
        call = Call(
            world=world,
            who=caller.who or Identity(""),
            method=target.method,
            path=target.template,
            params=checked,
            given=given,
            node=node,
            schema=dict(target.declared),
            schema_of_method=self._schema.method,
            upload=upload,
        )
        try:
            async with locks.of_call(world, target.method, target.template, {**target.in_path, "node": node}):
                result = HANDLERS[target.method, target.template](call)
                return await result if inspect.isawaitable(result) else result
        except (TaskFailed, locks.LockTimeout) as failure:
            raise Refused(500, str(failure)) from None


def _shown(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part)


def _merged(target: Target, params: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in target.in_path.items():
        if params.get(name) is not None and str(params[name]) != value:
            raise Refused.parameters({name: "duplicate parameter (already defined in URI) with conflicting values!"})
    return {**params, **target.in_path}


def _node(world: World, target: Target) -> str:
    """The node that does the work. Raises Refused where there is none of this name, NodeAway where it is away."""
    name = target.in_path.get("node", world.local_node)
    if name == "localhost":
        return world.local_node
    node = world.nodes.get(name)
    if node is None and ("proxyto" in target.declared or target.template in _ASKING_THE_NODE):
        reason = f"failed to get address info for: {name}: Name or service not known"
        raise Refused(500, f"hostname lookup '{name}' failed - {reason}")
    if node and not node.reachable and name != world.local_node and target.template not in _WITHOUT_THE_NODE:
        raise NodeAway("Errors during connection establishment, proxy handshake: Connection refused")
    return name
