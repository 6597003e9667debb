"""What the sagas of both kinds of guests share: whose a guest is, making sure that it is gone, settling what we know.

PVE's half-done work, as measured on 9.1: while a guest is made its config is only a lock, which the tenant cannot read;
a create that cannot get user.cfg at its end leaves a whole guest outside every pool, which only the administrator can
see, join or remove. So the administrator's identity looks where the tenant's cannot, and repairs only outside pools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from app.db import guests, quota
from app.db.models import Guest
from app.db.session import Tx, now
from app.domain.access import Context
from app.domain.errors import Conflict, PveAbsent, PveDenied, PveLocked, PveRefused
from app.domain.guests import GuestKind, GuestState, NetworkChange, owner_mark
from app.domain.identifiers import NodeName, PoolId, TokenId, Upid, VmId
from app.domain.quota import Dimension
from app.operations import Run
from app.policy import quota as quota_rules
from app.policy import rules
from app.pve import GuestApi, GuestConfig, Pve
from app.pve.cards import changed_card

MAKING = ("vzcreate", "qmcreate", "vzrestore", "qmrestore")
STOPPING = ("vzstop", "qmstop", "vzshutdown", "qmshutdown")
_MIB = 2**20
RUNNING_DIMENSIONS = (Dimension.RUNNING_CORES, Dimension.RUNNING_MEMORY)


@dataclass(frozen=True, kw_only=True)
class GuestParameters:
    """What every saga on one guest carries; `tenant` is the one whose token does the work. A freed vmid rests for
    `vmid_rest` seconds."""

    guest: str
    kind: str
    tenant: str
    cluster: str
    poolid: str
    node: str
    vmid: int
    vmid_rest: int = 0


@dataclass(frozen=True, kw_only=True)
class MadeParameters(GuestParameters):
    """What every saga that makes a guest carries: `memory` MiB, and the token that PVE names in the tasks. `vlan`: all
    cards that come with a clone, an archive or the guest before are to be in it; None: they stay as they are."""

    token_id: str
    memory: int
    cores: int
    vlan: int | None = None


class Sight(Enum):
    """What the administrator's identity sees under a guest's vmid."""

    ABSENT = auto()
    BEING_MADE = auto()
    OURS = auto()
    STRANGERS = auto()
    HALF = auto()
    """An empty configuration, which nobody can mark or make: what a failed restore of a VM leaves (PVE 9.1)."""


def target(ctx: Context, row: Guest) -> dict[str, Any]:
    """The GuestParameters of a guest that has a row, for work that this caller asks for."""
    return {
        "guest": row.id, "kind": row.kind, "tenant": rules.acting(ctx, row.tenant_id), "cluster": row.cluster_id,
        "poolid": row.poolid, "node": row.node, "vmid": row.vmid,
    }  # fmt: skip


def api_of(pve: Pve, p: GuestParameters, node: NodeName | None = None) -> GuestApi:
    return api_at(pve, p.kind, node or p.node, p.vmid)


def api_at(pve: Pve, kind: str, node: str, vmid: int) -> GuestApi:
    on = pve.node(NodeName(node))
    return on.lxc(VmId(vmid)) if kind == GuestKind.CT else on.qemu(VmId(vmid))


def as_tenant(run: Run, p: GuestParameters) -> GuestApi:
    return api_of(run.gateways.as_tenant(p.tenant), p, node_now(run, p))


def as_admin(run: Run, p: GuestParameters) -> GuestApi:
    return api_of(run.gateways.as_admin(p.cluster), p, node_now(run, p))


def node_now(run: Run, p: GuestParameters) -> NodeName:
    """Where the inventory last saw the guest; it follows migration and HA."""
    with run.db.read() as tx:
        return NodeName(guests.node_of(tx, p.guest) or p.node)


def look(run: Run, p: GuestParameters) -> Sight:
    """Whose the guest under our vmid is, by its mark and nothing else."""
    try:
        config = as_admin(run, p).config()
    except PveAbsent:
        return Sight.ABSENT
    if config.owner_mark == owner_mark(p.guest):
        return Sight.BEING_MADE if config.lock in ("create", "clone") else Sight.OURS
    if config.lock in ("create", "clone"):
        return Sight.BEING_MADE
    return Sight.STRANGERS if config.is_whole or config.lock else Sight.HALF


def own_config(run: Run, p: GuestParameters) -> GuestConfig:
    """Before it is changed. Raises Conflict where no guest of ours is under our vmid, PveLocked."""
    if look(run, p) is not Sight.OURS:
        raise Conflict(
            "No guest that carries our mark is where it was last seen.", code="guest.missing",
            remedy="Look at the guest's state; an administrator can repair or forget it.",
        )  # fmt: skip
    config: GuestConfig = as_tenant(run, p).config()
    if config.lock:
        raise PveLocked("The guest is locked by other work in Proxmox VE.")
    return config


def find_task(run: Run, pve: Pve, node: NodeName, task_type: str, subject: int, token: str) -> Upid | None:
    """The task of this type that the tenant's token started since this step began, and that was not judged yet."""
    rows = pve.node(node).tasks(
        vmid=VmId(subject),
        typefilter=task_type,
        since=int((run.began - timedelta(seconds=60)).timestamp()),
        source="all",
    )
    ours = TokenId(token)
    return next((row.upid for row in rows if row.started_by(ours) and row.upid not in run.judged), None)


def make_once(run: Run, before: Callable[[], tuple[bool, Upid | None]], make: Callable[[], Upid]) -> Upid | None:
    """The task that makes the guest; None where the guest stands already.

    `before` tells whether PVE was asked earlier, and the task of that: after a crash or a lost answer, and where PVE
    has something under our vmid, as the call may have reached it twice and the answer be the second one's.
    """
    if run.again:
        asked, task = before()
        if asked:
            return task
    try:
        return make()
    except PveRefused as error:
        if error.code != "pve.exists":
            raise
        asked, task = before()
        if not asked:
            raise
        return task


def created_before(run: Run, p: MadeParameters, task_type: str) -> tuple[bool, Upid | None]:
    """For `make_once`: a task of this type for our vmid, or what it left."""
    pve = run.gateways.as_tenant(p.tenant)
    lost = find_task(run, pve, NodeName(p.node), task_type, p.vmid, p.token_id)
    return lost is not None or settle_half_made(run, p), lost


def settle_half_made(run: Run, p: GuestParameters) -> bool:
    """After a lost answer or a failed task: True where the guest stands whole in its pool, False where there is none.

    Raises PveLocked while PVE still works on it, Conflict where the vmid is somebody else's.
    """
    sight = look(run, p)
    if sight is Sight.BEING_MADE:
        raise PveLocked("PVE still works on this guest.")
    if sight is Sight.STRANGERS or (sight is Sight.ABSENT and _is_elsewhere(run, p)):
        raise Conflict("This vmid was taken behind our back.", code="vmid.taken", remedy="Try again.")
    if sight in (Sight.ABSENT, Sight.HALF):
        return False
    pool = run.gateways.as_admin(p.cluster).pools
    if p.vmid not in pool.get(PoolId(p.poolid)).vmids:
        pool.add_guests(PoolId(p.poolid), [VmId(p.vmid)])
    return True


def _is_elsewhere(run: Run, p: GuestParameters) -> bool:
    """A guest of the other kind, or on another node, has our vmid: `look` cannot see it."""
    pve: Pve = run.gateways.as_admin(p.cluster)
    return any(row.vmid == p.vmid for row in pve.cluster.resources().guests)


def grow(run: Run, p: GuestParameters, disk_gb: int) -> Upid | None:
    """The disk that it boots from, which is a copy, to the size asked for. PVE cannot shrink a larger one, which was
    not charged: PveRefused."""
    api = as_tenant(run, p)
    disk = api.config().boot_disk
    if disk is None:
        raise PveRefused("The template has no disk.", code="template.no_disk")
    if disk.size_gb > disk_gb:
        raise PveRefused("The template's disk is larger than what was asked for.", code="guest.differs")
    return api.resize(disk.name, size_gb=disk_gb) if disk.size_gb < disk_gb else None


def check_made(run: Run, p: MadeParameters) -> None:
    """What was made is what was asked and charged, and no privileged container: the step after every making, however
    it was made. A guest outside the pool is not even readable."""
    config = as_tenant(run, p).config()
    require_unprivileged(p, config)
    if (config.memory, config.cores) != (p.memory, p.cores):
        raise PveRefused("The guest is not of the size that was asked for.", code="guest.differs")


def tag(run: Run, p: MadeParameters) -> None:
    """All its cards, where the guest's are to be in a VLAN; before it is started."""
    if p.vlan is None:
        return
    api, wanted = as_tenant(run, p), NetworkChange(vlan=p.vlan)
    cards = api.config().cards
    changed = {name: changed_card(card, GuestKind(p.kind), wanted) for name, card in cards.items()}
    if changed != cards:
        api.update(changed)


def require_unprivileged(p: GuestParameters, config: GuestConfig) -> None:
    """Before anything of ours makes it run. Nothing but its config tells: a clone, a restore or an edit decides."""
    if not config.is_whole:
        raise PveLocked("PVE still works on this guest.")
    if p.kind == GuestKind.CT and not config.unprivileged:
        raise PveRefused(
            "The container is privileged.", code="policy.privileged_guest",
            remedy="Make a new one; an administrator can tell what happened to this one.",
        )  # fmt: skip


def make_gone(run: Run, p: GuestParameters) -> Upid | None:
    """One step towards the guest's absence; None once it is absent, or was never ours.

    Stops before it destroys. The tenant's identity does the work; the administrator's only where the guest stands
    outside every pool.
    """
    sight = look(run, p)
    if sight in (Sight.ABSENT, Sight.STRANGERS):
        return None
    if sight is Sight.BEING_MADE:
        return _end_of_making(run, p)
    try:
        return _stop_or_destroy(run, p)
    except PveRefused as error:
        if look(run, p) is Sight.ABSENT:
            return None
        if error.code != "pve.running":
            raise
        raise PveLocked("The guest was started in between.") from error


def _stop_or_destroy(run: Run, p: GuestParameters) -> Upid:
    try:
        api = as_tenant(run, p)
        status = api.status()
    except (PveDenied, PveAbsent):
        raise
    except PveRefused:
        if _is_in_a_pool(run, p):
            raise
        api = as_admin(run, p)
        status = api.status()
    upid: Upid = api.stop() if status.status == "running" else api.destroy(purge=True)
    return upid


def _is_in_a_pool(run: Run, p: GuestParameters) -> bool:
    """Where it is in one, PVE's refusal is a refusal, and not for the administrator to lead around."""
    pve: Pve = run.gateways.as_admin(p.cluster)
    return any(row.vmid == p.vmid and row.pool is not None for row in pve.cluster.resources().guests)


def _end_of_making(run: Run, p: GuestParameters) -> Upid:
    pve: Pve = run.gateways.as_admin(p.cluster)
    for row in pve.node(NodeName(p.node)).tasks(source="active"):
        if row.id == str(p.vmid) and row.type in MAKING:
            return row.upid
    raise PveLocked("PVE still works on this guest.")


def release(run: Run, p: GuestParameters) -> None:
    """The guest's row, its allocations and its vmid go; the vmid rests before anybody gets it again."""
    with run.db.begin() as tx:
        guests.remove(tx, p.guest, rest=timedelta(seconds=p.vmid_rest))


def release_running(run: Run, p: GuestParameters) -> None:
    with run.db.begin() as tx:
        quota.release(tx, p.tenant, p.guest, RUNNING_DIMENSIONS)


def under_way(run: Run, p: GuestParameters, *task_types: str) -> Upid | None:
    """A task on the guest that PVE still carries out: after a crash it may be the one whose UPID was lost."""
    node = run.gateways.as_tenant(p.tenant).node(node_now(run, p))
    return next((row.upid for row in node.tasks(vmid=VmId(p.vmid), source="active") if row.type in task_types), None)


def start(run: Run, p: GuestParameters, *, is_new: bool = False) -> Upid | None:
    """None where it runs already: PVE would call that an error. `is_new`: made by this operation, so that it runs only
    where this step has started it."""
    if run.again and (lost := under_way(run, p, "vzstart", "qmstart")) is not None:
        return lost
    api = as_tenant(run, p)
    if (run.again or not is_new) and api.status().status == "running":
        return None
    require_unprivileged(p, api.config())
    return api.start()


def settled_state(run: Run, p: GuestParameters) -> None:
    """Read the guest back and write what it is now; frees the running allocation of one that does not run."""
    seen = read_back(p, as_tenant(run, p))
    with run.db.begin() as tx:
        write_back(tx, p, seen)


def read_back(p: GuestParameters, api: GuestApi) -> dict[str, Any]:
    """What PVE says of the guest, as JSON values; `runs_with` (cores, MiB of memory) of one that runs."""
    status = api.status()
    config = api.config()
    running = status.status == "running"
    return {
        "state": _state(status.status, status.qmpstatus),
        "locked": bool(config.lock),
        "addresses": sorted(api.addresses()) if running else [],
        "unprivileged": config.unprivileged if p.kind == GuestKind.CT else None,
        "runs_with": {"cores": status.cpus, "memory": -(-status.maxmem // _MIB)} if running else None,
    }


def write_back(tx: Tx, p: GuestParameters, seen: Mapping[str, Any]) -> None:
    """Row and ledger of the running as the guest was seen; nothing where it is no longer ours."""
    row = guests.get(tx, p.guest)
    if row is None:
        return
    for name in ("state", "locked", "addresses", "unprivileged"):
        setattr(row, name, seen[name])
    touch(row)
    if seen["runs_with"] is not None:
        charge_running(tx, row, **seen["runs_with"])
    else:
        quota.release(tx, p.tenant, p.guest, RUNNING_DIMENSIONS)


def charge_running(tx: Tx, row: Guest, *, cores: int, memory: int) -> None:
    """The larger of what it runs with, which is given, and what its next start gives it; never more than was claimed
    for that."""
    runs_with = quota_rules.of_running(cores=cores, memory=memory)
    held = quota.held(tx, row.tenant_id, row.id)
    for dimension, amount in quota_rules.of_running(cores=row.cores, memory=row.memory).items():
        needed = max(amount, runs_with[dimension])
        quota.allocate(tx, row, {dimension: min(needed, held.get(dimension, needed))})


def settle_back(run: Run, p: GuestParameters) -> None:
    """The undo of what cannot be taken back: what the guest is now is read and written down, and one that is gone
    runs no more."""
    if look(run, p) is not Sight.OURS:
        set_state(run, p, GuestState.UNKNOWN)
        release_running(run, p)
        return
    seen = read_back_as_it_is(run, p)
    with run.db.begin() as tx:
        write_back(tx, p, seen)


def read_back_as_it_is(run: Run, p: GuestParameters) -> dict[str, Any]:
    """`read_back`; where PVE does not show it to the tenant (it has left its pool) the cluster's listing tells."""
    try:
        return read_back(p, as_tenant(run, p))
    except PveRefused:
        return _listed(run, p)


def _listed(run: Run, p: GuestParameters) -> dict[str, Any]:
    """As `read_back`, as far as the administrator's identity knows without asking the guest itself."""
    listing = run.gateways.as_admin(p.cluster).cluster.resources()
    there = next((row for row in listing.guests if row.vmid == p.vmid), None)
    if there is None or there.status not in ("running", "stopped"):
        raise PveLocked("PVE does not tell whether the guest runs.")
    config = as_admin(run, p).config()
    running = there.status == "running"
    return {
        "state": _state(there.status, None),
        "locked": bool(config.lock),
        "addresses": [],
        "unprivileged": config.unprivileged if p.kind == GuestKind.CT else None,
        "runs_with": {"cores": there.cores, "memory": there.memory} if running else None,
    }


def touch(row: Guest) -> None:
    """Its document is newer than the last reading of the inventory."""
    row.changed_at = now()


def result(run: Run, p: GuestParameters) -> dict[str, Any]:
    with run.db.read() as tx:
        row = guests.get(tx, p.guest)
        return {"guest": guests.document(tx, row) if row is not None else None}


def set_state(run: Run, p: GuestParameters, state: GuestState) -> None:
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is not None:
            row.state = state
            touch(row)


def _state(status: str, qmpstatus: str | None) -> GuestState:
    if status != "running":
        return GuestState.STOPPED
    if qmpstatus == "paused":
        return GuestState.PAUSED
    return GuestState.SUSPENDED if qmpstatus in ("suspended", "prelaunch") else GuestState.RUNNING
