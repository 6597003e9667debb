"""`/access/users` and `/access/password`: users as they are made, seen, changed and removed."""

import re
from typing import Any

from app.lab import locks
from app.lab.access import checks, passwords, texts, tickets
from app.lab.call import Call, Refused, failing_as, handler
from app.lab.state import Group, User, World

_SHOWN = ("firstname", "lastname", "email", "comment", "keys")
_ENCODED = frozenset({"firstname", "lastname", "comment"})
_SEES = ("User.Modify", "Sys.Audit")


def user_of(world: World, userid: str) -> User:
    """The user. Raises Refused 500."""
    user = world.users.get(userid)
    if user is None:
        raise Refused(500, f"no such user ('{userid}')")
    return user


def split(text: Any) -> list[str]:
    """A list parameter's parts, which commas, semicolons or blanks separate."""
    return [part for part in re.split(r"[,;\s]+", str(text or "")) if part]


def tokens_of(user: User) -> dict[str, dict[str, Any]]:
    """The user's tokens without their secrets."""
    return {
        name: {"privsep": token.privsep, "expire": token.expire} | ({"comment": token.comment} if token.comment else {})
        for name, token in user.tokens.items()
    }


def _row(user: User) -> dict[str, Any]:
    shown = {name: getattr(user, name) for name in _SHOWN if getattr(user, name)}
    return {"enable": user.enable, "expire": user.expire} | shown


def groups_of(world: World, userid: str) -> list[str]:
    return sorted(group.groupid for group in world.groups.values() if userid in group.users)


@handler("GET", "/access/users")
def listing(call: Call) -> Any:
    world, full, enabled = call.world, call.params.get("full"), call.params.get("enabled")
    sees_all = call.has("/access/groups", *_SEES, any_of=True)
    seen = checks.members(world, checks.visible_groups(world, call.who, *_SEES)) | {call.who.name}
    rows = []
    for userid in sorted(world.users):
        user = world.users[userid]
        if not (sees_all or userid in seen) or (enabled is not None and bool(user.enable) != bool(enabled)):
            continue
        row = {"userid": userid} | _row(user)
        realm = world.realms.get(userid.rpartition("@")[2])
        if realm:
            row["realm-type"] = realm.type
        if full:
            row["groups"] = ",".join(groups_of(world, userid))
            row["tokens"] = [{"tokenid": name} | token for name, token in sorted(tokens_of(user).items())] or None
        rows.append(row)
    return rows


@handler("GET", "/access/users/{userid}")
def show(call: Call) -> Any:
    user = user_of(call.world, call.params["userid"])
    return _row(user) | {"groups": groups_of(call.world, user.userid), "tokens": tokens_of(user) or None}


def _set_password(world: World, user: User, password: str) -> None:
    """Keep the password, where the user's realm can. Raises Refused."""
    name, _, realm = user.userid.rpartition("@")
    kind = world.realms[realm].type if realm in world.realms else None
    if kind is None:
        raise Refused(500, f"auth domain '{realm}' does not exist")
    if kind == "pam" and user.userid != "root@pam":
        raise Refused(500, f"change password failed: user '{name}' does not exist")
    if kind not in ("pam", "pve"):
        raise Refused(500, f"can't set password on auth type '{kind}'")
    user.password = passwords.hashed(password)


def _fill(user: User, params: dict[str, Any]) -> None:
    for name in _SHOWN:
        if name in params:
            setattr(user, name, texts.kept(params[name]) if name in _ENCODED else params[name])
    user.enable = params.get("enable", user.enable)
    user.expire = params.get("expire", user.expire)


def _known_groups(world: World, params: dict[str, Any]) -> list[Group]:
    """The groups that are named. Raises Refused."""
    for group in (wanted := split(params.get("groups"))):
        if group not in world.groups:
            raise Refused(500, f"no such group '{group}'")
    return [world.groups[group] for group in wanted]


@handler("POST", "/access/users")
async def create(call: Call) -> Any:
    world, params = call.world, call.params
    with failing_as("create user failed"):
        async with locks.take(world, "user.cfg", 10):
            userid = params["userid"]
            if userid in world.users:
                raise Refused(500, f"user '{userid}' already exists")
            user = User(userid)
            _fill(user, params)
            if "password" in params:
                _set_password(world, user, params["password"])
            for group in _known_groups(world, params):
                group.users.add(userid)
            world.users[userid] = user
            world.access_changed()


@handler("PUT", "/access/users/{userid}")
async def change(call: Call) -> Any:
    world, params = call.world, call.params
    with failing_as("update user failed"):
        async with locks.take(world, "user.cfg", 10):
            user = user_of(world, params["userid"])
            wanted = _known_groups(world, params)
            _fill(user, params)
            if "groups" in params and not params.get("append"):
                for group in world.groups.values():
                    group.users.discard(user.userid)
            for group in wanted:
                group.users.add(user.userid)
            world.access_changed()


@handler("DELETE", "/access/users/{userid}")
async def remove(call: Call) -> Any:
    """A user that is not there is no error; root@pam is there again at once, but has lost whatever he had."""
    world, userid = call.world, call.params["userid"]
    with failing_as("delete user failed"):
        async with locks.take(world, "user.cfg", 10):
            user = world.users.pop(userid, None)
            if user and userid == "root@pam":
                world.users[userid] = User(userid, password=user.password)
            for group in world.groups.values():
                group.users.discard(userid)
            for node in world.acl.values():
                node.users.pop(userid, None)
                for token in [name for name in node.tokens if name.startswith(f"{userid}!")]:
                    node.tokens.pop(token)
            world.access_changed()


@handler("PUT", "/access/password")
async def set_password(call: Call) -> Any:
    """Everybody but root@pam confirms with a password of his own."""
    world, params = call.world, call.params
    user = user_of(world, params["userid"])
    if not call.who.is_root:
        given = params.get("confirmation-password")
        if given is None:
            raise Refused.parameters({"confirmation-password": "password is required to modify user"})
        caller = tickets.active(world, call.who.user)
        if caller is None or not passwords.fits(given, caller.password):
            raise Refused(500, "invalid credentials")
    if user.userid == "root@pam" and not call.who.is_root:
        raise Refused(403, "Permission check failed")
    if user.userid.endswith("@pve"):
        async with locks.take(world, "priv/shadow.cfg", 10):
            _set_password(world, user, params["password"])
    else:
        _set_password(world, user, params["password"])
