"""A tenant's walls: pool, PVE user, its token, rights on exactly its pool, its storages, its bridges and the catalog.

Everything carries the tenant's mark in its comment; an undo removes nothing without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.db import tenants
from app.domain.access import EVERY_TENANT
from app.domain.errors import Conflict, PveAbsent
from app.domain.identifiers import PoolId, PveUserId, TokenId
from app.domain.tenants import TenantState
from app.operations import Run, Saga, Step
from app.pve import Pve
from app.sagas.calls import may, will
from app.sagas.documents import tenant_document

#: All of PVE's users and rights are in one file, behind one lock of the cluster.
QUEUE = "access"

# -- parameters


@dataclass(frozen=True)
class Parameters:
    tenant: str
    name: str
    cluster: str
    poolid: str
    pve_user: str
    token_id: str
    storages: list[str]
    bridges: list[str]
    catalog: str | None


# -- the roles, which all tenants share and which stay: what suffices was tried on PVE 9.1

GUEST_ROLE, STORAGE_ROLE, NETWORK_ROLE, CATALOG_ROLE = (
    "PoolhouseGuest", "PoolhouseStorage", "PoolhouseNetwork", "PoolhouseCatalog",
)  # fmt: skip
_CONFIG = ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")
ROLES: dict[str, frozenset[str]] = {
    GUEST_ROLE: frozenset(
        [
            "VM.Allocate", "VM.Audit", "VM.Clone", "VM.Console", "VM.PowerMgmt", "VM.Snapshot",
            "VM.Snapshot.Rollback", "VM.Backup", "VM.GuestAgent.Audit", "Pool.Audit",
            *(f"VM.Config.{part}" for part in _CONFIG),
        ]
    ),
    STORAGE_ROLE: frozenset(["Datastore.AllocateSpace", "Datastore.Audit"]),
    NETWORK_ROLE: frozenset(["SDN.Use"]),
    CATALOG_ROLE: frozenset(["VM.Audit", "VM.Clone", "Pool.Audit"]),
}  # fmt: skip


def mark(tenant: str) -> str:
    return f"poolhouse-tenant: {tenant}"


def rights(
    poolid: str, storages: Iterable[str], bridges: Iterable[str], catalog: str | None
) -> Iterator[tuple[str, str]]:
    """(path, role) of everything that a tenant may reach; never `/`."""
    yield f"/pool/{poolid}", GUEST_ROLE
    for storage in storages:
        yield f"/storage/{storage}", STORAGE_ROLE
    for bridge in bridges:
        yield f"/sdn/zones/localnetwork/{bridge}", NETWORK_ROLE
    if catalog:
        yield f"/pool/{catalog}", CATALOG_ROLE


# -- functions


def make_roles(run: Run, p: Parameters) -> None:
    access = _admin(run, p).access
    there = access.roles()
    for role, privileges in ROLES.items():
        if role not in there:
            access.create_role(role, privileges)
        elif there[role] != privileges:
            access.update_role(role, privileges)


def make_pool(run: Run, p: Parameters) -> None:
    pools = _admin(run, p).pools
    comment = _pool_comment(run, p)
    if comment is None:
        pools.create(PoolId(p.poolid), comment=mark(p.tenant))
    elif comment != mark(p.tenant):
        raise Conflict("A pool of this name exists in the cluster.", code="pool.taken", remedy="Choose another name.")


def remove_pool(run: Run, p: Parameters) -> None:
    if _pool_comment(run, p) == mark(p.tenant):
        _admin(run, p).pools.delete(PoolId(p.poolid))


def make_user(run: Run, p: Parameters) -> None:
    comment = _user_comment(run, p)
    if comment is None:
        _admin(run, p).access.create_user(PveUserId(p.pve_user), comment=mark(p.tenant))
    elif comment != mark(p.tenant):
        raise Conflict("A PVE user of this name exists.", code="user.taken", remedy="Choose another name.")


def remove_user(run: Run, p: Parameters) -> None:
    """Its token, and the rights of both, go with it: PVE takes a user's entries out of the ACL."""
    if _user_comment(run, p) == mark(p.tenant):
        _admin(run, p).access.delete_user(PveUserId(p.pve_user))


def make_token(run: Run, p: Parameters) -> None:
    """PVE tells a secret once: a token whose secret was lost in a crash is made anew."""
    access = _admin(run, p).access
    token = TokenId(p.token_id)
    if run.again and access.token(token.user, token.name) is not None:
        access.delete_token(token.user, token.name)
    secret = access.create_token(token.user, token.name, comment=mark(p.tenant))
    with run.db.begin() as tx:
        row = tenants.lock(tx, p.tenant)
        row.token_secret = run.gateways.seal(secret, belongs_to=p.tenant)


def grant(run: Run, p: Parameters) -> None:
    """To the user and to its token: a privilege-separated token has the intersection of both."""
    access = _admin(run, p).access
    for path, role in rights(p.poolid, p.storages, p.bridges, p.catalog):
        access.grant(path, role, user=PveUserId(p.pve_user))
        access.grant(path, role, token=TokenId(p.token_id))


def activate(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        tenants.lock(tx, p.tenant).state = TenantState.ACTIVE


def forget(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        tenants.remove(tx, p.tenant)


def _admin(run: Run, p: Parameters) -> Pve:
    admin: Pve = run.gateways.as_admin(p.cluster)
    return admin


def _pool_comment(run: Run, p: Parameters) -> str | None:
    """None: there is no such pool."""
    try:
        return _admin(run, p).pools.get(PoolId(p.poolid)).comment
    except PveAbsent:
        return None


def _user_comment(run: Run, p: Parameters) -> str | None:
    """None: there is no such user."""
    try:
        return _admin(run, p).access.user(PveUserId(p.pve_user)).comment
    except PveAbsent:
        return None


def as_it_is(run: Run, tenant: str) -> dict[str, object]:
    """The result of what changed a tenant: {"tenant": TENANT}."""
    with run.db.read() as tx:
        return {"tenant": tenant_document(tenants.views(tx, [tenants.find(tx, EVERY_TENANT, tenant)])[0])}


# -- definition

SAGA = Saga(
    "tenant.create",
    Parameters,
    steps=(
        Step("reserved", undo=forget),
        Step("roles", make_roles, calls=(may("POST /access/roles"),)),
        Step("pool", make_pool, undo=remove_pool, calls=(will("POST /pools"),)),
        Step("user", make_user, undo=remove_user, calls=(will("POST /access/users"),)),
        Step("token", make_token, calls=(will("POST /access/users/{p.pve_user}/token/poolhouse"),)),
        Step("granted", grant, calls=(will("PUT /access/acl"),)),
        Step("active", activate),
    ),
    result=lambda run, p: as_it_is(run, p.tenant),
)
