"""`/access/roles`: the built-in roles, which nobody changes, and custom ones."""

from typing import Any

from app.lab import locks
from app.lab.access.privileges import BUILT_IN
from app.lab.access.rights import privileges_of
from app.lab.access.users import split
from app.lab.call import Call, Refused, failing_as, handler


@handler("GET", "/access/roles")
def listing(call: Call) -> Any:
    built_in = [
        {"roleid": role, "privs": ",".join(sorted(privileges)), "special": 1} for role, privileges in BUILT_IN.items()
    ]
    own = [
        {"roleid": role, "privs": ",".join(sorted(privileges)), "special": 0}
        for role, privileges in call.world.roles.items()
    ]
    return built_in + own


@handler("GET", "/access/roles/{roleid}")
def show(call: Call) -> Any:
    privileges = privileges_of(call.world, call.params["roleid"])
    if privileges is None:
        raise Refused(500, f"role '{call.params['roleid']}' does not exist")
    return dict.fromkeys(sorted(privileges), 1)


def _require_own(role: str, what: str) -> None:
    if role in BUILT_IN:
        raise Refused(500, f"auto-generated role '{role}' cannot be {what}")


@handler("POST", "/access/roles")
async def create(call: Call) -> Any:
    world, role = call.world, call.params["roleid"]
    if role.lower().startswith("pve"):
        text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"
        raise Refused.parameters({"roleid": text})
    with failing_as("create role failed"):
        async with locks.take(world, "user.cfg", 10):
            if privileges_of(world, role) is not None:
                raise Refused(500, f"role '{role}' already exists")
            world.roles[role] = set(split(call.params.get("privs")))
            world.access_changed()


@handler("PUT", "/access/roles/{roleid}")
async def change(call: Call) -> Any:
    """Without `append` the given privileges replace the old ones, also where none are given."""
    world, role = call.world, call.params["roleid"]
    _require_own(role, "modified")
    with failing_as("update role failed"):
        async with locks.take(world, "user.cfg", 10):
            if role not in world.roles:
                raise Refused(500, f"role '{role}' does not exist")
            kept = world.roles[role] if call.params.get("append") else set()
            world.roles[role] = kept | set(split(call.params.get("privs")))
            world.access_changed()


@handler("DELETE", "/access/roles/{roleid}")
async def remove(call: Call) -> Any:
    world, role = call.world, call.params["roleid"]
    _require_own(role, "deleted")
    with failing_as("delete role failed"):
        async with locks.take(world, "user.cfg", 10):
            if role not in world.roles:
                raise Refused(500, f"role '{role}' does not exist")
            world.roles.pop(role)
            for node in world.acl.values():
                for entries in (node.users, node.groups, node.tokens):
                    for roles in entries.values():
                        roles.pop(role, None)
            world.access_changed()
