"""Tags of guests and who may change them (datacenter options `user-tag-access` and `registered-tags`)."""

import re

from app.lab.call import Call, Refused
from app.lab.guests import properties
from app.lab.state import World


def split(text: str) -> list[str]:
    return [tag for tag in re.split(r"[,; ]+", text) if tag]


def unique(text: str) -> str:
    """The tags of a container as PVE keeps them: each once, by name."""
    return ";".join(sorted({tag.lower() for tag in split(text)}))


def _seen(call: Call) -> set[str]:
    """Tags of all guests that the caller may see."""
    found: set[str] = set()
    for guest in call.world.guests.values():
        if guest.config.get("tags") and call.has(f"/vms/{guest.vmid}", "VM.Audit"):
            found.update(split(str(guest.config["tags"])))
    return found


def _option(world: World, name: str) -> str:
    return str(world.options.get(name, ""))


def _allowed(call: Call) -> set[str] | None:
    """The tags that a user without Sys.Modify on `/` may set; None: any."""
    access = properties.parse(_option(call.world, "user-tag-access"))
    mode = access.get("user-allow", "free")
    if mode == "free":
        return None
    listed = set(split(access.get("user-allow-list", ""))) if mode != "none" else set()
    return listed | (_seen(call) if mode == "existing" else set())


def _require_each(call: Call, changed: set[str]) -> None:
    allowed, registered = _allowed(call), set(split(_option(call.world, "registered-tags")))
    for tag in sorted(changed):
        if tag in registered or (allowed is not None and tag not in allowed):
            raise Refused(403, f"Permission check failed (/, Sys.Modify for modifying tag '{tag}')")


def require_change(call: Call, vmid: int, old: str, new: str) -> None:
    """VM.Config.Options on the guest, and every tag that comes or goes must be one that the caller may use."""
    changed = set(split(old)) ^ set(split(new))
    if changed and not call.has("/", "Sys.Modify"):
        call.require(f"/vms/{vmid}", "VM.Config.Options")
        _require_each(call, changed)


def require_new(call: Call, new: str) -> None:
    """The tags of a VM that is being made: only the datacenter's rules count."""
    if new and not call.has("/", "Sys.Modify"):
        _require_each(call, set(split(new)))
