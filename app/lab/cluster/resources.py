"""`/cluster/resources`: everything of the cluster in one list, of which everybody sees his part."""

from collections.abc import Iterator
from typing import Any

from app.lab import clock
from app.lab.access.rights import rights_of
from app.lab.call import Call, handler
from app.lab.guests import figures
from app.lab.nodes.figures import facts, load
from app.lab.state import World
from app.lab.storage import access as storages
from app.lab.storage import resources

Row = dict[str, Any]
_SDN = ("SDN.Audit", "SDN.Allocate")


def pools_of_guests(world: World) -> dict[int, str]:
    """Which pool each guest is in."""
    return {vmid: pool.poolid for pool in world.pools.values() for vmid in pool.vms}


def _guests(call: Call, sums: dict[str, Row]) -> Iterator[Row]:
    """The guests that the caller sees; all of them, seen or not, count for the sums of their pools."""
    world, pools = call.world, pools_of_guests(call.world)
    rights, moment = rights_of(world, call.who), clock.now(world)
    for guest in world.guests.values():
        pool = pools.get(guest.vmid)
        visible = "VM.Audit" in rights.on(f"/vms/{guest.vmid}")
        if not visible and (pool not in sums or guest.status != "running"):
            continue
        row = figures.resource_at(moment, world, guest)
        if pool is not None:
            row["pool"] = pool
            if pool in sums and guest.status == "running":
                _add_up(sums[pool], row)
        if visible:
            for name in ("tags", "lock"):
                if guest.config.get(name):
                    row[name] = guest.config[name]
            yield row


def _add_up(total: Row, row: Row) -> None:
    """The load of a pool: memory and CPUs added, the CPU's share as the mean of all its CPUs."""
    cpus = total.get("maxcpu", 0) + float(row["maxcpu"])
    busy = total.get("cpu", 0) * total.get("maxcpu", 0) + row["cpu"] * float(row["maxcpu"])
    total["cpu"] = busy / cpus if cpus else 0
    total["maxcpu"] = int(cpus) if cpus == int(cpus) else cpus
    total["uptime"] = max(total.get("uptime", 0), row["uptime"])
    for name in ("mem", "maxmem"):
        total[name] = total.get(name, 0) + row[name]


def _nodes(call: Call) -> Iterator[Row]:
    for node in call.world.nodes.values():
        row = facts(node) | {"cgroup-mode": 2}
        if call.has(f"/nodes/{node.name}", "Sys.Audit") and node.online:
            row |= load(call.world, node)
        yield row


def _storages(call: Call) -> Iterator[Row]:
    for storage in call.world.storages.values():
        if call.has(f"/storage/{storage.id}", "Datastore.Audit"):
            for node in call.world.nodes:
                if storages.on_node(storage, node):
                    yield resources.row(call.world, node, storage)


def _networks(call: Call) -> Iterator[Row]:
    """The one zone that every node has: localnetwork, which holds its bridges."""
    if call.has("/sdn/zones/localnetwork", *_SDN, any_of=True):
        for node in call.world.nodes:
            yield {
                "id": f"network/{node}/zone/localnetwork",
                "type": "network",
                "network": "localnetwork",
                "network-type": "zone",
                "node": node,
                "status": "ok",
            }


@handler("GET", "/cluster/resources")
def listing(call: Call) -> Any:
    wanted = call.params.get("type")
    sums: dict[str, Row] = {}
    if wanted is None:
        for pool in call.world.pools:
            if call.has(f"/pool/{pool}", "Pool.Audit"):
                sums[pool] = {"id": f"/pool/{pool}", "type": "pool", "pool": pool}
    rows: list[Row] = []
    if wanted in (None, "vm"):
        rows += _guests(call, sums)
    rows += sums.values()
    if wanted in (None, "node"):
        rows += _nodes(call)
    if wanted in (None, "storage"):
        rows += _storages(call)
    if wanted is None:
        rows += _networks(call)
    return rows
