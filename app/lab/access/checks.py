"""The permission checks that PVE's schema declares for a method (pve-access-control: exec_api2_perm_check)."""

import re
from collections.abc import Mapping
from typing import Any

from app.lab import formats
from app.lab.access.paths import normalized
from app.lab.access.rights import Identity, rights_of
from app.lab.state import World


class Forbidden(Exception):
    """403; the text goes into the brackets of `Permission check failed (...)`, none where it is empty."""


class Missing(Exception):
    """500: the user that a check looks at is not there, or has no name that a user can have."""


def require_declared(
    world: World, who: Identity | None, permissions: Mapping[str, Any] | None, params: Mapping[str, Any]
) -> None:
    """Let the caller pass if the method's declaration does. Raises Forbidden or Missing."""
    if who is None:
        if permissions and permissions.get("user") == "world":
            return
        raise Forbidden("user != null")
    if who.is_root:
        return
    if not permissions:
        raise Forbidden("user != root@pam")
    if permissions.get("user") in ("all", "world"):
        return
    if "check" not in permissions:
        raise Forbidden("")
    _require(world, who, permissions["check"], params)


def _require(world: World, who: Identity, check: list[Any], params: Mapping[str, Any]) -> None:
    kind = check[0]
    if kind == "and":
        for part in check[1:]:
            _require(world, who, part, params)
    elif kind == "or":
        if not any(_passes(world, who, part, params) for part in check[1:]):
            raise Forbidden("")
    elif kind == "perm":
        _require_privileges(world, who, check, params)
    elif kind == "userid-group":
        _require_group_of_user(world, who, check, params)
    elif kind == "userid-param":
        _require_user(world, who, check[1], str(params.get("userid", "")))
    elif kind == "perm-modify":
        path = normalized(_filled(check[1], params))
        if path is not None:
            require_any(world, who, path, *modifying(path))


def _passes(world: World, who: Identity, check: list[Any], params: Mapping[str, Any]) -> bool:
    """Whether one alternative holds. Within an `and` PVE forgets that it asks for alternatives, and refuses at once."""
    if check[0] == "and":
        _require(world, who, check, params)
        return True
    try:
        _require(world, who, check, params)
    except (Forbidden, Missing):
        return False
    return True


def _filled(template: str, params: Mapping[str, Any]) -> str:
    return re.sub(r"\{(\w[\w-]*)\}", lambda found: str(params.get(found[1], "")), template)


def _options(check: list[Any], start: int) -> dict[str, Any]:
    return dict(zip(check[start::2], check[start + 1 :: 2], strict=True))


def _require_privileges(world: World, who: Identity, check: list[Any], params: Mapping[str, Any]) -> None:
    options = _options(check, 3)
    if (needed := options.get("require_param")) and params.get(needed) is None:
        raise Forbidden("")
    path = _filled(check[1], params)
    path = normalized(path) or path
    if options.get("any"):
        require_any(world, who, path, *check[2])
    else:
        require_all(world, who, path, *check[2])


def require_all(world: World, who: Identity, path: str, *privileges: str) -> None:
    """All privileges on the path; the text names the first that is missing. Raises Forbidden."""
    held = rights_of(world, who).on(path)
    for privilege in privileges:
        if privilege not in held:
            raise Forbidden(f"{path}, {privilege}")


def require_any(world: World, who: Identity, path: str, *privileges: str) -> None:
    """One of the privileges on the path; the text names them all. Raises Forbidden."""
    held = rights_of(world, who).on(path)
    if not any(privilege in held for privilege in privileges):
        raise Forbidden(f"{path}, {'|'.join(privileges)}")


def modifying(path: str) -> tuple[str, ...]:
    """What lets one change the ACL of a path: Permissions.Modify, or the right to allocate what is there."""
    for top, privilege in (("storage", "Datastore.Allocate"), ("vms", "VM.Allocate"), ("pool", "Pool.Allocate")):
        if path.startswith(f"/{top}/"):
            return "Permissions.Modify", privilege
    return ("Permissions.Modify",)


def visible_groups(world: World, who: Identity, *privileges: str) -> set[str]:
    """The groups on whose paths the caller has any of the privileges."""
    rights = rights_of(world, who)
    return {group for group in world.groups if any(name in rights.on(f"/access/groups/{group}") for name in privileges)}


def members(world: World, groups: set[str]) -> set[str]:
    """The users of these groups."""
    return {user for group in groups for user in world.groups[group].users}


def _require_group_of_user(world: World, who: Identity, check: list[Any], params: Mapping[str, Any]) -> None:
    userid, privileges = str(params.get("userid", "")), tuple(check[1])
    groups_param = _options(check, 2).get("groups_param")
    existing = groups_param != "create"
    if existing and userid not in world.users:
        raise Missing(f"no such user ('{userid}')")
    if any(name in rights_of(world, who).on("/access/groups") for name in privileges):
        return
    groups = visible_groups(world, who, *privileges)
    if groups_param:
        wanted = [group for group in re.split(r"[,;\s]+", str(params.get("groups") or "")) if group]
        if not wanted:
            raise Forbidden(f"/access/groups, {'|'.join(privileges)}")
        for group in wanted:
            if group not in groups:
                raise Forbidden(f"/access/groups/{group}, {'|'.join(privileges)}")
    if existing and userid not in members(world, groups):
        raise Forbidden("")


def _require_user(world: World, who: Identity, wanted: str, userid: str) -> None:
    try:
        formats.CHECKS["pve-userid"](userid)
    except formats.BadFormat as bad:
        raise Missing(str(bad)) from None
    if wanted == "self":
        if userid not in world.users:
            raise Missing(f"no such user ('{userid}')")
        if who.name != userid:
            raise Forbidden("")
        return
    realm = userid.rpartition("@")[2]
    require_all(world, who, f"/access/realm/{realm}", wanted)
