"""`/access/tfa` and what else is told of second factors and OpenID, which nobody has here."""

from typing import Any

from app.lab.call import Call, Refused, handler


@handler("GET", "/access/tfa/{userid}")
def listing(_call: Call) -> Any:
    """Empty for everybody, also for users that are not there: only their file of factors is looked at."""
    return []


@handler("GET", "/access/tfa/{userid}/{id}")
def show(call: Call) -> Any:
    raise Refused(404, f"No such tfa entry '{call.params['id']}'")


@handler("GET", "/access/users/{userid}/tfa")
def kinds(call: Call) -> Any:
    """The realm's factor if it has one, and with `multiple` the list of the user's own."""
    name = call.params["userid"].rpartition("@")[2]
    if name not in call.world.realms:
        raise Refused(500, f"auth domain '{name}' does not exist")
    return {"user": []} if call.params.get("multiple") else {}


@handler("GET", "/access/openid")
def openid(_call: Call) -> Any:
    return [{"subdir": "auth-url"}, {"subdir": "login"}]
