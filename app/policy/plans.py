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


def check(plan: Said, *, storages: Collection[str]) -> None:
    """`storages` are those of all clusters. Raises Invalid for one that none has, and for a default that is not among
    those that the plan names."""
    wrong: dict[str, list[str]] = {}
    unknown = [name for name in plan.storages or () if name not in storages]
    if unknown:
        wrong["storages"] = [f"no cluster has {', '.join(map(repr, unknown))}"]
    for field, default, named in (
        ("default_storage", plan.default_storage, plan.storages if plan.storages is not None else storages),
        ("default_bridge", plan.default_bridge, plan.bridges),
    ):
        if default is not None and named is not None and default not in named:
            wrong[field] = [f"{default!r} is not among those that the plan allows"]
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


def limits(before: Mapping[str, int], changes: Mapping[str, int | None]) -> dict[str, int]:
    """What is limited after a change that names some dimensions; None lifts a limit."""
    return {name: amount for name, amount in {**before, **changes}.items() if amount is not None}
