"""`/access/domains`: the realms that users log in to. Only those of types pam and pve know passwords here."""

import hashlib
from typing import Any

import orjson

from app.lab import locks
from app.lab.access.users import split
from app.lab.call import Call, Refused, failing_as, handler
from app.lab.state import Realm, World

_REQUIRED = {
    "ad": ("server1", "domain"),
    "ldap": ("server1", "user_attr", "base_dn"),
    "openid": ("issuer-url", "client-id"),
}
_META = frozenset({"realm", "type", "delete", "digest", "check-connection"})


def _digest(world: World) -> str:
    text = orjson.dumps(list(world.realms.values()), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


@handler("GET", "/access/domains")
def listing(call: Call) -> Any:
    rows = []
    for realm in call.world.realms.values():
        shown = {name: realm.options[name] for name in ("comment", "default", "tfa") if name in realm.options}
        rows.append({"realm": realm.realm, "type": realm.type} | shown)
    return rows


@handler("GET", "/access/domains/{realm}")
def show(call: Call) -> Any:
    realm = call.world.realms.get(call.params["realm"])
    if realm is None:
        raise Refused(500, f"domain '{call.params['realm']}' does not exist")
    # The built-in pam realm tells which Perl module it is.
    plugin = {"plugin": "PVE::Auth::PAM"} if realm.type == "pam" else {}
    return {"type": realm.type, "digest": _digest(call.world)} | plugin | realm.options


def _make_default(world: World, chosen: Realm) -> None:
    if chosen.options.get("default"):
        for realm in world.realms.values():
            if realm is not chosen:
                realm.options.pop("default", None)


@handler("POST", "/access/domains")
async def create(call: Call) -> Any:
    world, params = call.world, call.params
    with failing_as("add auth server failed"):
        async with locks.take(world, "domains.cfg", 10):
            name, kind = params["realm"], params["type"]
            if name in world.realms:
                raise Refused(500, f"domain '{name}' already exists")
            if kind in ("pam", "pve"):
                raise Refused(500, f"unable to create builtin type '{kind}'")
            for option in _REQUIRED.get(kind, ()):
                if option not in params:
                    raise Refused(500, f"missing value for required option '{option}'")
            options = {key: value for key, value in params.items() if key not in _META}
            world.realms[name] = Realm(name, kind, options)
            _make_default(world, world.realms[name])


@handler("PUT", "/access/domains/{realm}")
async def change(call: Call) -> Any:
    world, params = call.world, call.params
    with failing_as("update auth server failed"):
        async with locks.take(world, "domains.cfg", 10):
            realm = world.realms.get(params["realm"])
            if realm is None:
                raise Refused(500, f"domain '{params['realm']}' does not exist")
            if (given := params.get("digest")) and given != _digest(world):
                raise Refused(500, "detected modified configuration - file changed by other user? Try again.")
            for option in split(params.get("delete")):
                realm.options.pop(option, None)
            realm.options.update({key: value for key, value in params.items() if key not in _META})
            _make_default(world, realm)


@handler("DELETE", "/access/domains/{realm}")
async def remove(call: Call) -> Any:
    """The built-in realms may be removed, and are there again at once."""
    world, name = call.world, call.params["realm"]
    with failing_as("delete auth server failed"):
        async with locks.take(world, "domains.cfg", 10):
            if name in ("pam", "pve"):
                return
            if name not in world.realms:
                raise Refused(500, f"authentication domain '{name}' does not exist")
            world.realms.pop(name)
