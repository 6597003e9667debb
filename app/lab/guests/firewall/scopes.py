"""The firewall files of the world: one of the cluster, one per node, one per guest. Made on first sight."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from app.lab.call import Call, Refused
from app.lab.state import World

STALE = "detected modified configuration - file changed by other user? Try again."


@dataclass(frozen=True)
class Scope:
    """One level of the firewall: `kind` is cluster, node or guest; `base` is its path in the API."""

    kind: str
    base: str

    def key(self, call: Call) -> str:
        if self.kind == "cluster":
            return "cluster"
        if self.kind == "node":
            return f"node/{call.node}"
        return f"guest/{call.params['vmid']}"


CLUSTER = Scope("cluster", "/cluster/firewall")
NODE = Scope("node", "/nodes/{node}/firewall")
GUESTS = tuple(Scope("guest", f"/nodes/{{node}}/{kind}/{{vmid}}/firewall") for kind in ("qemu", "lxc"))
ALL = (CLUSTER, NODE, *GUESTS)

File = dict[str, Any]


def file_of(world: World, key: str) -> File:
    """The file of a level: options, rules, aliases, ipset and groups."""
    made: File = world.firewall.setdefault(key, {})
    for part, empty in (("options", {}), ("rules", []), ("aliases", {}), ("ipset", {}), ("groups", {})):
        made.setdefault(part, empty)
    return made


def forget_guest(world: World, vmid: int) -> None:
    """The firewall file goes with its guest."""
    world.firewall.pop(f"guest/{vmid}", None)


def copy_guest(world: World, source: int, target: int) -> None:
    """A clone starts with the rules of its source."""
    if (key := f"guest/{source}") in world.firewall:
        world.firewall[f"guest/{target}"] = orjson.loads(orjson.dumps(world.firewall[key]))


def digest(part: Any) -> str:
    """PVE takes the digest of what a call shows: of the options, of one list of rules, of one set."""
    return hashlib.sha1(orjson.dumps(part, option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()


def require_digest(call: Call, part: Any) -> None:
    """A given digest must be that of the part; an empty one is no digest."""
    given = call.params.get("digest")
    if given and given != digest(part):
        raise Refused(500, STALE)
