"""`/access`: its index, and `/access/ticket`, where a password becomes a ticket (facts.md section 3)."""

from typing import Any

from app.lab.access import passwords, tickets
from app.lab.access.paths import normalized
from app.lab.access.rights import Identity, rights_of
from app.lab.access.users import split
from app.lab.call import Call, Refused, handler
from app.lab.state import World

_INDEX = ("users", "groups", "domains", "openid", "acl", "roles", "permissions", "tfa", "ticket", "password")
_SECTIONS: dict[str, tuple[str, ...]] = {
    "access": ("User.", "Group.", "Permissions."),
    "dc": ("Sys.Audit", "Sys.Modify", "SDN."),
    "mapping": ("Mapping.", "Permissions."),
    "nodes": ("Sys.", "Permissions."),
    "sdn": ("SDN.", "Permissions."),
    "storage": ("Datastore.", "Permissions."),
    "vms": ("VM.", "Permissions."),
}


@handler("GET", "/access")
def index(_call: Call) -> Any:
    return [{"subdir": name} for name in _INDEX]


@handler("GET", "/access/ticket")
def nothing(_call: Call) -> Any:
    """200 with nothing in it, for everybody: a place for clients to look whether the API is there."""
    return None


def capabilities(world: World, userid: str) -> dict[str, dict[str, int]]:
    """What a user may do anywhere, by section of the web interface; pools do not count."""
    found: dict[str, dict[str, int]] = {section: {} for section in _SECTIONS}
    rights = rights_of(world, Identity(userid))
    for path in ("/", "/nodes", "/access/groups", "/vms", "/storage", "/sdn", "/mapping", *world.acl):
        section = path.split("/")[1] or "dc"
        for privilege in rights.on(path):
            if privilege.startswith(_SECTIONS.get(section, ())):
                found[section][privilege] = 1
    return found


def _authenticated(world: World, params: dict[str, Any], userid: str) -> bool:
    """Whether the password lets this user in: his own, or a ticket of his.

    A ticket of root@pam opens for everybody, but only to get another ticket. Nobody here has a second factor, so that
    an answer to one is wrong, whatever it is.
    """
    user, password = tickets.active(world, userid), params["password"]
    if user is None or userid.rpartition("@")[2] not in world.realms or "tfa-challenge" in params:
        return False
    if password.startswith("PVE:"):
        openers = (userid,) if _verifies(params) else (userid, "root@pam")
        owner = tickets.owner(world, password)
        return owner in openers and tickets.active(world, str(owner)) is not None
    return "otp" not in params and passwords.fits(password, user.password)


def _verifies(params: dict[str, Any]) -> bool:
    """Whether privileges on a path are asked about, instead of a ticket."""
    return bool(params.get("path") and params.get("privs"))


@handler("POST", "/access/ticket")
def create(call: Call) -> Any:
    world, params = call.world, call.params
    userid = params["username"]
    if realm := params.get("realm"):
        userid = f"{userid}@{realm}"
    if not _authenticated(world, params, userid):
        raise Refused(401, "authentication failure")
    known = {"username": userid, "cap": capabilities(world, userid)}
    rights = rights_of(world, Identity(userid))
    if _verifies(params):
        path, wanted = normalized(params["path"]), split(params["privs"])
        if path is None or not wanted or any(privilege not in rights.on(path) for privilege in wanted):
            raise Refused(401, "authentication failure")
    else:
        known["ticket"] = tickets.ticket(world, userid)
        known["CSRFPreventionToken"] = tickets.csrf_token(world, userid)
    if "Sys.Audit" in rights.on("/"):
        known["clustername"] = world.cluster.name
    return known
