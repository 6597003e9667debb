"""`/pools`: guests and storages put together, so that one ACL reaches them all (pve-manager: API2/Pool.pm)."""

from collections.abc import Iterator
from typing import Any

from app.lab import locks
from app.lab.access import texts
from app.lab.access.users import split
from app.lab.call import Call, Refused, failing_as, handler
from app.lab.guests import figures
from app.lab.state import Pool, World
from app.lab.storage import access as storages
from app.lab.storage import resources


def _pool_of(world: World, poolid: str) -> Pool:
    if poolid not in world.pools:
        raise Refused(500, f"pool '{poolid}' does not exist")
    return world.pools[poolid]


def _members(world: World, pool: Pool, kind: str | None) -> Iterator[dict[str, Any]]:
    """What is there of the members: guests, and each storage once, as one node has it."""
    for vmid in sorted(pool.vms):
        guest = world.guests.get(vmid)
        if guest and kind in (None, guest.kind):
            yield figures.resource(world, guest)
    for name in sorted(pool.storages):
        storage = world.storages.get(name)
        node = next((node for node in world.nodes if storage and storages.on_node(storage, node)), None)
        if storage and node and kind in (None, "storage"):
            yield resources.row(world, node, storage)


def _described(world: World, pool: Pool, kind: str | None) -> dict[str, Any]:
    comment = {"comment": pool.comment} if pool.comment else {}
    return comment | {"members": list(_members(world, pool, kind))}


@handler("GET", "/pools")
def listing(call: Call) -> Any:
    """Pools with Pool.Audit; the one asked for by name is shown to everybody (facts.md section 5)."""
    if (name := call.params.get("poolid")) is not None:
        pool = _pool_of(call.world, name)
        return [{"poolid": name} | _described(call.world, pool, call.params.get("type"))]
    return [
        {"poolid": pool.poolid} | ({"comment": pool.comment} if pool.comment else {})
        for pool in call.world.pools.values()
        if call.has(f"/pool/{pool.poolid}", "Pool.Audit")
    ]


@handler("GET", "/pools/{poolid}")
def show(call: Call) -> Any:
    pool = _pool_of(call.world, call.params["poolid"])
    return {"poolid": pool.poolid} | _described(call.world, pool, call.params.get("type"))


@handler("POST", "/pools")
async def create(call: Call) -> Any:
    world, poolid = call.world, call.params["poolid"]
    with failing_as("create pool failed"):
        async with locks.take(world, "user.cfg", 10):
            if not poolid[0].isalpha():
                raise Refused(500, "pool name must start with a letter")
            parent = poolid.rpartition("/")[0]
            if parent and parent not in world.pools:
                raise Refused(500, f"parent '{parent}' of pool '{poolid}' does not exist")
            if poolid in world.pools:
                raise Refused(500, f"pool '{poolid}' already exists")
            world.pools[poolid] = Pool(poolid, texts.kept(call.params.get("comment", "")))
            world.access_changed()


async def _change(call: Call) -> None:
    world, params = call.world, call.params
    with failing_as("update pools failed"):
        async with locks.take(world, "user.cfg", 10):
            # PVE writes the file at the end: what fails half way leaves no trace.
            before = [(pool, set(pool.vms), set(pool.storages)) for pool in world.pools.values()]
            pool = _pool_of(world, params["poolid"])
            try:
                _change_members(call, pool)
            except Refused:
                for changed, vms, storages_before in before:
                    changed.vms, changed.storages = vms, storages_before
                raise
            if "comment" in params:
                pool.comment = texts.kept(params["comment"])
            world.access_changed()


def _change_members(call: Call, pool: Pool) -> None:
    params = call.params
    for vmid in map(int, split(params.get("vms"))):
        call.require(f"/vms/{vmid}", "Permissions.Modify", "VM.Allocate", any_of=True)
        (_take_out if params.get("delete") else _put_in)(call, pool, vmid)
    for name in split(params.get("storage")):
        call.require(f"/storage/{name}", "Permissions.Modify", "Datastore.Allocate", any_of=True)
        _change_storage(pool, name, delete=bool(params.get("delete")))


def _put_in(call: Call, pool: Pool, vmid: int) -> None:
    if vmid in pool.vms:
        raise Refused(500, f"VM {vmid} is already a pool member")
    for other in call.world.pools.values():
        if vmid in other.vms:
            if not call.params.get("allow-move"):
                text = f"VM {vmid} belongs already to pool '{other.poolid}' and 'allow-move' is not set"
                raise Refused(500, text)
            call.require(f"/pool/{other.poolid}", "Pool.Allocate")
            other.vms.discard(vmid)
    pool.vms.add(vmid)


def _take_out(_call: Call, pool: Pool, vmid: int) -> None:
    if vmid not in pool.vms:
        raise Refused(500, f"VM {vmid} is not a pool member")
    pool.vms.discard(vmid)


def _change_storage(pool: Pool, name: str, *, delete: bool) -> None:
    if delete and name not in pool.storages:
        raise Refused(500, f"Storage '{name}' is not a pool member")
    if not delete and name in pool.storages:
        raise Refused(500, f"Storage '{name}' is already a pool member")
    (pool.storages.discard if delete else pool.storages.add)(name)


@handler("PUT", "/pools")
async def change(call: Call) -> Any:
    await _change(call)


@handler("PUT", "/pools/{poolid}")
async def change_by_path(call: Call) -> Any:
    await _change(call)


async def _remove(call: Call) -> None:
    world, poolid = call.world, call.params["poolid"]
    with failing_as("delete pool failed"):
        async with locks.take(world, "user.cfg", 10):
            pool = _pool_of(world, poolid)
            for below in sorted(name for name in world.pools if name.rpartition("/")[0] == poolid):
                raise Refused(500, f"pool '{poolid}' is not empty (contains pool '{below}')")
            for vmid in sorted(pool.vms & set(world.guests), key=str):
                raise Refused(500, f"pool '{poolid}' is not empty (contains VM {vmid})")
            for name in sorted(pool.storages & set(world.storages)):
                raise Refused(500, f"pool '{poolid}' is not empty (contains storage '{name}')")
            world.pools.pop(poolid)
            _forget_acl(world, poolid)
            world.access_changed()


def _forget_acl(world: World, poolid: str) -> None:
    """PVE looks for the ACL of the pool right below `/pool`: it finds no nested pool's, and takes all below with it."""
    if "/" not in poolid:
        path = f"/pool/{poolid}"
        for found in [name for name in world.acl if name == path or name.startswith(f"{path}/")]:
            world.acl.pop(found)


@handler("DELETE", "/pools")
async def remove(call: Call) -> Any:
    await _remove(call)


@handler("DELETE", "/pools/{poolid}")
async def remove_by_path(call: Call) -> Any:
    await _remove(call)
