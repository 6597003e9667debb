"""`/access`: its index, and `/access/ticket`, where a password becomes a ticket (facts.md section 3)."""

from typing import Any

from app.lab.access import passwords, tickets
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


def _authenticated(world: World, userid: str, password: str) -> bool:
    """Whether the password lets this user in: his own, a ticket of his, or root's ticket, which opens for everybody."""
    user = tickets.active(world, userid)
    if user is None or userid.rpartition("@")[2] not in world.realms:
        return False
    if password.startswith("PVE:"):
        owner = tickets.owner(world, password)
        return owner in (userid, "root@pam") and tickets.active(world, str(owner)) is not None
    return passwords.fits(password, user.password)


@handler("POST", "/access/ticket")
def create(call: Call) -> Any:
    world, params = call.world, call.params
    userid = params["username"]
    if realm := params.get("realm"):
        userid = f"{userid}@{realm}"
    if not _authenticated(world, userid, params["password"]):
        raise Refused(401, "authentication failure")
    known = {"username": userid, "cap": capabilities(world, userid)}
    rights = rights_of(world, Identity(userid))
    if "path" in params:
        held = rights.on(params["path"])
        if any(privilege not in held for privilege in split(params["privs"])):
            raise Refused(401, "authentication failure")
    else:
        known["ticket"] = tickets.ticket(world, userid)
        known["CSRFPreventionToken"] = tickets.csrf_token(world, userid)
    if "Sys.Audit" in rights.on("/"):
        known["clustername"] = world.cluster.name
    return known
