"""Nodes that go away and come back, and the quorum that goes with them (facts.md section 13)."""

from app.lab import clock, tasks
from app.lab.guests import power
from app.lab.state import Node, World


class BadOutage(ValueError):
    """An outage that can not be; the text says why."""


def set_online(world: World, node: Node, online: bool) -> None:
    """Take a host's power away, or give it back.

    Off: its guests are off, its tasks are gone, others show it offline, and the cluster has a quorum only while more
    than half of the nodes are on. On: guests with `onboot` start. Raises BadOutage for the node that answers.
    """
    if node.name == world.local_node:
        raise BadOutage(f"{node.name} is the node that answers; end the lab instead")
    if bool(node.online) == online:
        return
    node.online, node.reachable = int(online), online
    if online:
        node.booted_at = clock.now(world)
    else:
        tasks.lose(world, node.name)
    for guest in world.guests.values():
        if guest.node == node.name and not online and guest.status == "running":
            power.switch_off(world, guest)
        elif guest.node == node.name and online and guest.config.get("onboot") and not guest.config.get("template"):
            power.switch_on(world, guest)
    world.cluster.quorate = int(2 * sum(other.online for other in world.nodes.values()) > len(world.nodes))


def set_reachable(world: World, node: Node, reachable: bool) -> None:
    """Stop or start a host's proxy and daemon; all else runs on. Raises BadOutage for the node that answers."""
    if node.name == world.local_node:
        raise BadOutage(f"{node.name} is the node that answers; end the lab instead")
    if reachable and not node.online:
        raise BadOutage(f"{node.name} is off")
    node.reachable = reachable
