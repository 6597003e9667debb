"""What a tenant's PVE token may do, against what it should: pure tables over what PVE told."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.domain.access import Privilege, TenantRole
from app.domain.tenants import ActionRights, PathRights
from app.policy import rules

Rights = Mapping[str, frozenset[str]]
"""One of PVE's paths -> privileges."""

_NONE: frozenset[str] = frozenset()
_CONFIG = ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")

#: What PVE asks for on the tenant's pool, where an action of ours is work on its guests.
NEEDS: Mapping[Privilege, frozenset[str]] = {
    Privilege.GUEST_AUDIT: frozenset({"VM.Audit", "VM.GuestAgent.Audit"}),
    Privilege.GUEST_POWER: frozenset({"VM.PowerMgmt"}),
    Privilege.GUEST_ALLOCATE: frozenset({"VM.Allocate", "VM.Clone", *(f"VM.Config.{part}" for part in _CONFIG)}),
}


def actions(*, suspended: bool, on_pool: Collection[str]) -> list[ActionRights]:
    """Every action that a role has in a tenant, who has it now, and what it lacks in PVE."""
    having: dict[Privilege, list[str]] = {}
    for role in TenantRole:
        for action in rules.in_tenant(role, suspended=suspended):
            having.setdefault(action, []).append(role.value)
    return [
        ActionRights(
            action=action.value, roles=sorted(roles), needs=sorted(NEEDS.get(action, _NONE)),
            missing=sorted(NEEDS.get(action, _NONE) - set(on_pool)),
        )
        for action, roles in sorted(having.items())
    ]  # fmt: skip


def paths(expected: Rights, tolerated: Rights, actual: Rights) -> list[PathRights]:
    """Every path of either side. What is `tolerated` may be there, and may be missing."""
    found = []
    for path in sorted({*expected, *actual}):
        should, has = expected.get(path, _NONE), actual.get(path, _NONE)
        may = should | tolerated.get(path, _NONE)
        found.append(PathRights(path, sorted(should), sorted(has), sorted(should - has), sorted(has - may)))
    return found
