"""A tenant goes, with everything that was made for it: its guests, its rights, its PVE user, its pool, its rows."""

from __future__ import annotations

from dataclasses import dataclass

from app.db import guests, tenants
from app.domain.tenants import TenantState
from app.operations import Again, Run, Saga, Step
from app.sagas import guest, tenant_create
from app.sagas.calls import may

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
    vmid_rest: int


# -- functions


def empty(run: Run, p: Parameters) -> Again | None:
    """Destroy the guests one after another; called again after each task, until none is left."""
    while (one := _next_guest(run, p)) is not None:
        upid = guest.make_gone(run, one)
        if upid is not None:
            return Again(upid)
        guest.release(run, one)
    return None


def remove_walls(run: Run, p: Parameters) -> None:
    """The user before its pool: without the user nobody can make anything new in it. Our own way in goes first: from
    here on the tenant is not opened again."""
    with run.db.begin() as tx:
        tenants.lock(tx, p.tenant).token_secret = None
    walls = tenant_create.Parameters(
        p.tenant, p.name, p.cluster, p.poolid, p.pve_user, p.token_id, p.storages, p.bridges, p.catalog
    )
    tenant_create.remove_user(run, walls)
    tenant_create.remove_pool(run, walls)


def forget(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        tenants.remove(tx, p.tenant)


def reopen(run: Run, p: Parameters) -> None:
    """Open for its members again, unless its walls have begun to go: then it can only be deleted once more."""
    with run.db.begin() as tx:
        row = tenants.get(tx, p.tenant)
        if row is not None and row.token_secret is not None:
            row.state = TenantState.ACTIVE


def _next_guest(run: Run, p: Parameters) -> guest.GuestParameters | None:
    with run.db.read() as tx:
        left = guests.of_tenant(tx, p.tenant)
    if not left:
        return None
    row = left[0]
    return guest.GuestParameters(
        guest=row.id, kind=row.kind, tenant=p.tenant, cluster=p.cluster, poolid=p.poolid, node=row.node, vmid=row.vmid,
        vmid_rest=p.vmid_rest,
    )  # fmt: skip


# -- definition

SAGA = Saga(
    "tenant.delete",
    Parameters,
    steps=(
        Step("closed", undo=reopen),
        Step("emptied", empty, calls=(may("DELETE /nodes/{{node}}/{{kind}}/{{vmid}}"),)),
        Step(
            "walls removed",
            remove_walls,
            calls=(
                may("DELETE /access/users/{p.pve_user}"),
                may("DELETE /pools"),
            ),
        ),
        Step("forgotten", forget),
    ),
    point_of_no_return="emptied",
)
