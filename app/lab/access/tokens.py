"""`/access/users/{userid}/token`: API tokens, their secrets shown once."""

import uuid
from typing import Any

from app.lab import locks
from app.lab.access import texts, users
from app.lab.call import Call, Refused, failing_as, handler
from app.lab.state import Token, User


def _token_of(user: User, name: str) -> Token:
    if name not in user.tokens:
        raise Refused(500, f"no such token '{name}' for user '{user.userid}'")
    return user.tokens[name]


def _echo(call: Call) -> dict[str, Any]:
    """What was given, as it was given: PVE repeats the caller's own texts. An empty comment says nothing."""
    given = {name: call.given[name] for name in ("expire", "privsep") if call.given.get(name) is not None}
    comment = call.params.get("comment")
    return given | ({"comment": comment} if comment not in (None, "", "0") else {})


def _fill(token: Token, params: dict[str, Any]) -> None:
    for name in users.split(params.get("delete")):
        if name in ("comment", "expire", "privsep"):
            setattr(token, name, getattr(Token(""), name))
    if params.get("comment") not in (None, "", "0"):
        token.comment = texts.kept(params["comment"])
    token.expire = params.get("expire", token.expire)
    token.privsep = params.get("privsep", token.privsep)


@handler("GET", "/access/users/{userid}/token")
def listing(call: Call) -> Any:
    user = users.user_of(call.world, call.params["userid"])
    return [{"tokenid": name} | token for name, token in users.tokens_of(user).items()]


@handler("GET", "/access/users/{userid}/token/{tokenid}")
def show(call: Call) -> Any:
    user = users.user_of(call.world, call.params["userid"])
    _token_of(user, call.params["tokenid"])
    return users.tokens_of(user)[call.params["tokenid"]]


@handler("POST", "/access/users/{userid}/token/{tokenid}")
async def create(call: Call) -> Any:
    world, params = call.world, call.params
    userid, name = params["userid"], params["tokenid"]
    user = users.user_of(world, userid)
    if name in user.tokens:
        raise Refused.parameters({"tokenid": "Token already exists."})
    with failing_as("generating token failed"):
        async with locks.take(world, "user.cfg", 10):
            user = users.user_of(world, userid)
            token = user.tokens[name] = Token(secret=str(uuid.uuid4()))
            _fill(token, params)
            world.access_changed()
    return {"full-tokenid": f"{userid}!{name}", "value": token.secret, "info": {"privsep": 1} | _echo(call)}


@handler("PUT", "/access/users/{userid}/token/{tokenid}")
async def change(call: Call) -> Any:
    world, params = call.world, call.params
    token = _token_of(users.user_of(world, params["userid"]), params["tokenid"])
    with failing_as("updating token info failed"):
        async with locks.take(world, "user.cfg", 10):
            _fill(token, params)
            world.access_changed()
    return users.tokens_of(world.users[params["userid"]])[params["tokenid"]] | _echo(call)


@handler("DELETE", "/access/users/{userid}/token/{tokenid}")
async def remove(call: Call) -> Any:
    world, userid, name = call.world, call.params["userid"], call.params["tokenid"]
    _token_of(users.user_of(world, userid), name)
    with failing_as("deleting token failed"):
        async with locks.take(world, "user.cfg", 10):
            world.users[userid].tokens.pop(name, None)
            for node in world.acl.values():
                node.tokens.pop(f"{userid}!{name}", None)
            world.access_changed()
