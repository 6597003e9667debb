"""`/version`, `/cluster/status`, `/cluster/config`, `/cluster/tasks`: what the cluster is and what went on in it."""

from typing import Any

from app.lab.call import Call, handler
from app.lab.nodes.tasks import head, outcome

VERSION = {"version": "9.1.8", "release": "9.1", "repoid": "a8e257e1ad64dd92"}
_RECENT = 25
"""Finished tasks of each node that the cluster tells all its nodes of."""


@handler("GET", "/version")
def version(call: Call) -> Any:
    shown = VERSION
    if (console := call.world.options.get("console")) is not None:
        shown = shown | {"console": console}
    return shown


@handler("GET", "/cluster/status")
def status(call: Call) -> Any:
    world = call.world
    cluster = {
        "id": "cluster",
        "type": "cluster",
        "name": world.cluster.name,
        "version": world.cluster.version,
        "nodes": len(world.nodes),
        "quorate": world.cluster.quorate,
    }
    return [cluster] + [
        {
            "id": f"node/{node.name}",
            "type": "node",
            "name": node.name,
            "nodeid": node.nodeid,
            "ip": node.ip,
            "level": node.level,
            "local": int(node.name == world.local_node),
            "online": node.online,
        }
        for node in world.nodes.values()
    ]


@handler("GET", "/cluster/config/nodes")
def members(call: Call) -> Any:
    return [
        {
            "name": node.name,
            "node": node.name,
            "nodeid": str(node.nodeid),
            "quorum_votes": "1",
            "ring0_addr": node.ip,
        }
        for node in call.world.nodes.values()
    ]


@handler("GET", "/cluster/config/totem")
def totem(call: Call) -> Any:
    return {
        "cluster_name": call.world.cluster.name,
        "config_version": str(call.world.cluster.version),
        "interface": {"0": {"linknumber": "0"}},
        "ip_version": "ipv4-6",
        "link_mode": "passive",
        "secauth": "on",
        "version": "2",
    }


@handler("GET", "/cluster/config/apiversion")
def join_version(_call: Call) -> Any:
    return 1


@handler("GET", "/cluster/config/qdevice")
def qdevice(_call: Call) -> Any:
    return {}


@handler("GET", "/cluster/ha/status/current")
def ha_status(call: Call) -> Any:
    quorum = {
        "id": "quorum",
        "type": "quorum",
        "node": call.world.local_node,
        "quorate": call.world.cluster.quorate,
        "status": "OK" if call.world.cluster.quorate else f"No quorum on node '{call.world.local_node}'!",
    }
    return [quorum]


@handler("GET", "/cluster/ha/status/manager_status")
def ha_manager(call: Call) -> Any:
    """What the HA manager keeps: it has kept nothing where no guest was ever given to it."""
    world = call.world
    # Perl's own true and false, as PVE passes them on: "1" and "".
    quorate = "1" if world.cluster.quorate else ""
    return {"manager_status": {}, "quorum": {"node": world.local_node, "quorate": quorate}}


@handler("GET", "/cluster/tasks")
def tasks(call: Call) -> Any:
    """The latest tasks of all nodes, newest first. A token, unlike its user, does not see its own."""
    sees_all, left = call.has("/", "Sys.Audit"), dict.fromkeys(call.world.nodes, _RECENT)
    rows = []
    for record in reversed(call.world.tasks.values()):
        running = record.status == "running"
        if not running:
            left[record.node] = left.get(record.node, 0) - 1
        if (running or left[record.node] >= 0) and (sees_all or record.user == call.who.name):
            ended = {} if running else outcome(record) | {"saved": "1"}
            rows.append(head(record) | ended)
    return rows


@handler("GET", "/cluster/log")
def log(_call: Call) -> Any:
    return []
