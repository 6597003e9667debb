"""What a tenant was granted changes: its rights on storages and bridges in PVE, and what it is offered of them here.

A new right is there before anybody is offered what it is for, and one that goes is offered to nobody before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.db import tenants
from app.domain.identifiers import PveUserId, TokenId
from app.operations import Run, Saga, Step
from app.sagas.calls import may, will
from app.sagas.tenant_create import as_it_is, rights

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """`had_*` is what it was granted when this was asked for."""

    tenant: str
    cluster: str
    poolid: str
    pve_user: str
    token_id: str
    storages: list[str]
    bridges: list[str]
    had_storages: list[str]
    had_bridges: list[str]


# -- functions


def grant(run: Run, p: Parameters) -> None:
    _grant(run, p, _new(p))


def ungrant(run: Run, p: Parameters) -> None:
    _revoke(run, p, _new(p))


def offer(run: Run, p: Parameters) -> None:
    _write(run, p, p.storages, p.bridges)


def offer_as_before(run: Run, p: Parameters) -> None:
    _write(run, p, p.had_storages, p.had_bridges)


def withdraw(run: Run, p: Parameters) -> None:
    _revoke(run, p, _old(p))


def give_back(run: Run, p: Parameters) -> None:
    _grant(run, p, _old(p))


def _had(p: Parameters) -> list[tuple[str, str]]:
    return list(rights(p.poolid, p.had_storages, p.had_bridges, None))


def _has(p: Parameters) -> list[tuple[str, str]]:
    return list(rights(p.poolid, p.storages, p.bridges, None))


def _new(p: Parameters) -> list[tuple[str, str]]:
    return [right for right in _has(p) if right not in _had(p)]


def _old(p: Parameters) -> list[tuple[str, str]]:
    return [right for right in _had(p) if right not in _has(p)]


def _grant(run: Run, p: Parameters, wanted: Sequence[tuple[str, str]]) -> None:
    access = run.gateways.as_admin(p.cluster).access
    for path, role in wanted:
        access.grant(path, role, user=PveUserId(p.pve_user))
        access.grant(path, role, token=TokenId(p.token_id))


def _revoke(run: Run, p: Parameters, wanted: Sequence[tuple[str, str]]) -> None:
    access = run.gateways.as_admin(p.cluster).access
    for path, role in wanted:
        access.revoke(path, role, token=TokenId(p.token_id))
        access.revoke(path, role, user=PveUserId(p.pve_user))


def _write(run: Run, p: Parameters, storages: list[str], bridges: list[str]) -> None:
    with run.db.begin() as tx:
        row = tenants.lock(tx, p.tenant)
        row.storages, row.bridges = storages, bridges


# -- definition

SAGA = Saga(
    "tenant.grant",
    Parameters,
    steps=(
        Step("granted", grant, undo=ungrant, calls=(will("PUT /access/acl", _new),)),
        Step("offered", offer, undo=offer_as_before),
        Step("withdrawn", withdraw, undo=give_back, calls=(may("PUT /access/acl", _old),)),
    ),
    result=lambda run, p: as_it_is(run, p.tenant),
)
