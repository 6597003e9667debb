"""A storage of a node as `cluster/resources` and pools tell of it."""

from typing import Any

from app.lab.state import Storage, World
from app.lab.storage import access, volumes


def row(world: World, node: str, storage: Storage) -> dict[str, Any]:
    """Sizes in bytes; `unknown` where the node is away."""
    total, used = volumes.figures(world, node, storage)
    return {
        "id": f"storage/{node}/{storage.id}",
        "type": "storage",
        "storage": storage.id,
        "node": node,
        "plugintype": storage.type,
        "content": ",".join(sorted(access.contents(storage))),
        "shared": int(access.is_shared(storage)),
        "status": "available" if world.nodes[node].online else "unknown",
        "maxdisk": total,
        "disk": used,
    }
