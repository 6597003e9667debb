"""What a plan may say, and what of it a tenant is granted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from app.domain.errors import Invalid


class Said(Protocol):
    """What a plan says of storages and bridges."""

    @property
    def storages(self) -> Sequence[str] | None: ...
    @property
    def default_storage(self) -> str | None: ...
    @property
    def bridges(self) -> Sequence[str] | None: ...
    @property
    def default_bridge(self) -> str | None: ...


def check(plan: Said, *, storages: Collection[str], bridges: Collection[str] | None) -> None:
    """`storages` and `bridges` are those of all clusters; None: not known. Raises Invalid for one that none has, and
    for a default that is not among those that the plan names."""
    wrong: dict[str, list[str]] = {}
    for field, default_field, named, default, there in (
        ("storages", "default_storage", plan.storages, plan.default_storage, storages),
        ("bridges", "default_bridge", plan.bridges, plan.default_bridge, bridges),
    ):
        unknown = [name for name in named or () if there is not None and name not in there]
        if unknown:
            wrong[field] = [f"no cluster has {', '.join(map(repr, unknown))}"]
        allowed = named if named is not None else there
        if default is not None and allowed is not None and default not in allowed:
            wrong[default_field] = [f"{default!r} is not among those that the plan allows"]
    if wrong:
        raise Invalid(wrong)


def granted_storages(plan: Said, there: Collection[str]) -> list[str] | None:
    """Those of the plan that the tenant's cluster has; None where the plan says nothing about them.

    Raises Invalid for a plan that names others only: with it a tenant could make no guest.
    """
    if plan.storages is None:
        return None
    found = sorted(set(plan.storages).intersection(there))
    if not found:
        raise Invalid({"plan": ["names no storage that the tenant's cluster has"]})
    return found


def granted_bridges(plan: Said, there: Collection[str] | None) -> list[str] | None:
    """As `granted_storages`; where it is not known what is there, all that the plan names. A plan may allow none."""
    if plan.bridges is None:
        return None
    found = sorted(set(plan.bridges) if there is None else set(plan.bridges).intersection(there))
    if plan.bridges and not found:
        raise Invalid({"plan": ["names no bridge that the tenant's cluster has"]})
    return found


def flavors(of_group: Collection[str] | None, of_tenants: Sequence[Collection[str] | None]) -> frozenset[str] | None:
    """What somebody may name in one of his tenants at least, by their plans and his group's; None: all."""
    named = [frozenset(each) for each in of_tenants if each is not None]
    anywhere = frozenset[str]().union(*named) if of_tenants and len(named) == len(of_tenants) else None
    if of_group is None or anywhere is None:
        return anywhere if of_group is None else frozenset(of_group)
    return anywhere.intersection(of_group)


def limits(before: Mapping[str, int], changes: Mapping[str, int | None]) -> dict[str, int]:
    """What is limited after a change that names some dimensions; None lifts a limit."""
    return {name: amount for name, amount in {**before, **changes}.items() if amount is not None}
