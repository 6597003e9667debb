"""`/access/groups`: groups of users."""

from typing import Any

from app.lab import locks
from app.lab.access import texts
from app.lab.call import Call, Refused, failing_as, handler
from app.lab.state import Group, World

_SEES = ("User.Modify", "Sys.Audit", "Group.Allocate")


def _group_of(world: World, groupid: str) -> Group:
    if groupid not in world.groups:
        raise Refused(500, f"group '{groupid}' does not exist")
    return world.groups[groupid]


@handler("GET", "/access/groups")
def listing(call: Call) -> Any:
    rows = []
    for group in call.world.groups.values():
        if call.has(f"/access/groups/{group.groupid}", *_SEES, any_of=True):
            comment = {"comment": group.comment} if group.comment else {}
            rows.append({"groupid": group.groupid, "users": ",".join(sorted(group.users))} | comment)
    return rows


@handler("GET", "/access/groups/{groupid}")
def show(call: Call) -> Any:
    group = _group_of(call.world, call.params["groupid"])
    return {"members": sorted(group.users)} | ({"comment": group.comment} if group.comment else {})


@handler("POST", "/access/groups")
async def create(call: Call) -> Any:
    world, groupid = call.world, call.params["groupid"]
    with failing_as("create group failed"):
        async with locks.take(world, "user.cfg", 10):
            if groupid in world.groups:
                raise Refused(500, f"group '{groupid}' already exists")
            world.groups[groupid] = Group(groupid, texts.kept(call.params.get("comment", "")))
            world.access_changed()


@handler("PUT", "/access/groups/{groupid}")
async def change(call: Call) -> Any:
    with failing_as("update group failed"):
        async with locks.take(call.world, "user.cfg", 10):
            group = _group_of(call.world, call.params["groupid"])
            if "comment" in call.params:
                group.comment = texts.kept(call.params["comment"])


@handler("DELETE", "/access/groups/{groupid}")
async def remove(call: Call) -> Any:
    world, groupid = call.world, call.params["groupid"]
    with failing_as("delete group failed"):
        async with locks.take(world, "user.cfg", 10):
            _group_of(world, groupid)
            world.groups.pop(groupid)
            for node in world.acl.values():
                node.groups.pop(groupid, None)
            world.access_changed()
