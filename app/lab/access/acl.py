"""`/access/acl` and `/access/permissions`: who was given which role where, and what follows of it."""

from collections.abc import Iterator
from typing import Any

from app.lab import locks
from app.lab.access import checks
from app.lab.access.paths import is_known, normalized
from app.lab.access.rights import Identity, privileges_of, rights_of
from app.lab.access.users import split
from app.lab.call import Call, Refused, failing_as, handler
from app.lab.state import AclNode, World

_KINDS = ("user", "group", "token")


def _entries(node: AclNode, kind: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = getattr(node, f"{kind}s")
    return found


@handler("GET", "/access/acl")
def listing(call: Call) -> Any:
    """Everything with Sys.Audit on /access, else the paths whose entries the caller could change."""
    sees_all = call.has("/access", "Sys.Audit")
    return [
        {"path": path, "type": kind, "ugid": ugid, "roleid": role, "propagate": propagate}
        for path, node in sorted(call.world.acl.items())
        if sees_all or call.has(path, *checks.modifying(path), any_of=True)
        for kind in _KINDS
        for ugid, roles in _entries(node, kind).items()
        for role, propagate in roles.items()
    ]


@handler("PUT", "/access/acl")
async def change(call: Call) -> Any:
    params = call.params
    if not any(params.get(name) for name in ("users", "groups", "tokens")):
        text = "either 'users', 'groups' or 'tokens' is required."
        raise Refused.parameters(dict.fromkeys(("users", "groups", "tokens"), text))
    path = normalized(params["path"])
    if path is None or not (params.get("delete") or is_known(path)):
        raise Refused.parameters({"path": f"invalid ACL path '{params['path']}'"})
    with failing_as("ACL update failed"):
        async with locks.take(call.world, "user.cfg", 10):
            _change(call, path)


def _change(call: Call, path: str) -> None:
    world, params, propagate = call.world, call.params, call.params.get("propagate", 1)
    roles = split(params["roles"])
    named: list[tuple[str, str]] = []
    for role in roles:
        if privileges_of(world, role) is None:
            raise Refused(500, f"role '{role}' does not exist")
        _require_role(call, path, role, propagate)
        named = named or list(_named(world, params))
    node = world.acl.get(path) or AclNode()
    for kind, ugid in named:
        # PVE does not write down what root@pam is given: it has everything anyway.
        if (kind, ugid) == ("user", "root@pam"):
            continue
        entries = _entries(node, kind)
        for role in roles:
            if params.get("delete"):
                entries.get(ugid, {}).pop(role, None)
            else:
                entries.setdefault(ugid, {})[role] = propagate
        if not entries.get(ugid):
            entries.pop(ugid, None)
    if node.users or node.groups or node.tokens:
        world.acl[path] = node
    else:
        world.acl.pop(path, None)
    world.access_changed()


def _named(world: World, params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, id) of all that are named. Raises Refused for one that is not there."""
    for group in split(params.get("groups")):
        if group not in world.groups:
            raise Refused(500, f"group '{group}' does not exist")
        yield "group", group
    for userid in split(params.get("users")):
        if userid not in world.users:
            raise Refused(500, f"user '{userid}' does not exist")
        yield "user", userid
    for name in split(params.get("tokens")):
        who = Identity.parse(name)
        if who.user not in world.users:
            raise Refused(500, f"no such user ('{who.user}')")
        if who.token not in world.users[who.user].tokens:
            raise Refused(500, f"no such token '{who.token}' for user '{who.user}'")
        yield "token", name


def _require_role(call: Call, path: str, role: str, propagate: int) -> None:
    """Without Permissions.Modify one hands out only roles whose every privilege one holds there oneself."""
    held = rights_of(call.world, call.who).on(path)
    if "Permissions.Modify" in held:
        return
    removing = call.params.get("delete")
    verb = f"Cannot {'remove' if removing else 'add'} role '{role}'"
    for privilege in sorted(privileges_of(call.world, role) or ()):
        if privilege not in held:
            text = f"{verb} - requires 'Permissions.Modify' or superset of privileges."
            raise Refused.parameters({"role": text})
        if propagate and not held[privilege] and not removing:
            text = f"{verb} with propagation - requires 'Permissions.Modify' or propagated superset of privileges."
            raise Refused.parameters({"role": text})
    if role == "NoAccess":
        raise Refused.parameters({"role": f"{verb} - requires 'Permissions.Modify'"})


@handler("GET", "/access/permissions")
def permissions(call: Call) -> Any:
    """{path: {privilege: propagates}}; other users' need Sys.Audit on /access, but for one's own tokens'."""
    userid = call.params.get("userid") or call.who.name
    who = Identity.parse(userid)
    if userid != call.who.name and who.user != call.who.name:
        call.require("/access", "Sys.Audit")
    rights = rights_of(call.world, who)
    if path := call.params.get("path"):
        return {path: dict(rights.on(normalized(path) or path))}
    return rights.everywhere()
