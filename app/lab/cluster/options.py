"""`/cluster/options` and `/cluster/nextid`: what is set for the whole datacenter."""

from typing import Any

from app.lab.access.users import split
from app.lab.call import Call, Refused, handler
from app.lab.state import World

_PARSED = {
    "crs": "ha",
    "ha": "",
    "migration": "type",
    "next-id": "",
    "notify": "",
    "replication": "type",
    "tag-style": "",
    "u2f": "",
    "user-tag-access": "",
    "webauthn": "",
}
"""Options that are shown in their parts, with the part that needs no name."""
_LOWER, _UPPER = 100, 1_000_000


def _parts(option: str, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if part:
            found[name if equals else _PARSED[option]] = value if equals else name
    if "user-allow-list" in found:
        found["user-allow-list"] = found["user-allow-list"].split(";")
    return found


def _shown(option: str, value: Any) -> Any:
    if option in _PARSED:
        return _parts(option, str(value))
    return split(value) if option == "registered-tags" else value


def _tags_of_guests(call: Call, *, sees_all: bool) -> set[str]:
    return {
        tag
        for guest in call.world.guests.values()
        if guest.config.get("tags") and (sees_all or call.has(f"/vms/{guest.vmid}", "VM.Audit"))
        for tag in split(guest.config["tags"])
    }


def allowed_tags(call: Call) -> list[str]:
    """The tags that the caller may set: by list, by what is in use, and for administrators also the registered ones."""
    options = call.world.options
    privileged = call.has("/", "Sys.Modify")
    registered = set(split(options.get("registered-tags")))
    access = _parts("user-tag-access", str(options.get("user-tag-access", "")))
    mode = access.get("user-allow", "free")
    found: set[str] = set()
    if mode != "none" or privileged:
        found |= set(access.get("user-allow-list", []))
    if mode in ("free", "existing") or privileged:
        found |= _tags_of_guests(call, sees_all=privileged)
    return sorted(found | registered if privileged else found - registered)


@handler("GET", "/cluster/options")
def show(call: Call) -> Any:
    options = {name: _shown(name, value) for name, value in call.world.options.items()}
    if "description" in options:
        options["description"] = str(options["description"]).rstrip("\n") + "\n"
    tags = {"allowed-tags": allowed_tags(call)}
    if call.has("/", "Sys.Audit"):
        return {"mac_prefix": "BC:24:11", "description": ""} | options | tags
    return {name: options[name] for name in ("console", "tag-style") if name in options} | tags


@handler("PUT", "/cluster/options")
def change(call: Call) -> Any:
    changes = {name: str(value) for name, value in call.params.items() if name != "delete"}
    if "next-id" in changes:
        _require_range(changes["next-id"])
    call.world.options.update(changes)
    for name in split(call.params.get("delete")):
        call.world.options.pop(name, None)


def _range(text: str) -> tuple[int, int]:
    parts = _parts("next-id", text)
    return int(parts.get("lower", _LOWER)), int(parts.get("upper", _UPPER))


def _require_range(text: str) -> None:
    lower, upper = _range(text)
    if lower > upper:
        raise Refused(500, f"lower ({lower}) <= upper ({upper}) boundary rule broken")


def next_vmid(world: World) -> int:
    """The first free id; the upper end of the range is never offered. Raises Refused 500."""
    lower, upper = _range(str(world.options.get("next-id", "")))
    for vmid in range(lower, upper):
        if vmid not in world.guests:
            return vmid
    raise Refused(500, f"unable to get any free VMID in range [{lower}, {upper}]")


@handler("GET", "/cluster/nextid")
def nextid(call: Call) -> Any:
    """A text, as PVE answers it; tells anybody whether an id is taken."""
    vmid = call.params.get("vmid")
    if vmid is None:
        return str(next_vmid(call.world))
    if vmid in call.world.guests:
        raise Refused.parameters({"vmid": f"VM {vmid} already exists"})
    return str(vmid)
