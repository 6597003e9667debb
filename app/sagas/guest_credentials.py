"""A VM gets a new password or new ssh keys by cloud-init: what it is told at its next boot.

PVE has no such call for containers, and tenants' tokens have no right to command the agent inside a VM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain.errors import Conflict
from app.domain.guests import GuestKind
from app.operations import Run, Saga, Step
from app.pve.guests import GuestConfig
from app.sagas import guest
from app.sagas.calls import will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """None stays as it is; no `ssh_keys` at all, an empty list, takes all away. `password` is sealed to the guest's
    id."""

    password: str | None
    ssh_keys: list[str] | None
    kind: str = GuestKind.VM


# -- functions


def write(run: Run, p: Parameters) -> dict[str, Any]:
    """One call, which PVE takes whole or not at all; what was there before nobody can read back."""
    api = run.gateways.as_tenant(p.tenant).node(guest.node_now(run, p)).qemu(p.vmid)
    config: GuestConfig = api.config()
    if not config.has_cloud_init:
        raise Conflict(
            "The VM has no cloud-init drive.", code="guest.no_cloud_init",
            remedy="Change them inside the VM, or rebuild it from a template that has one.",
        )  # fmt: skip
    password = run.gateways.open(p.password, belongs_to=p.guest) if p.password else None
    api.set_log_in(password=password, keys=p.ssh_keys)
    return {"pending": api.status().status == "running"}


def result(run: Run, p: Parameters) -> dict[str, Any]:
    """`pending`: the VM runs, and is told at its next start."""
    return {**guest.result(run, p), **run.outputs["written"]}


# -- definition

SAGA = Saga(
    "vm.credentials", Parameters, steps=(Step("written", write, calls=(will("PUT {guest}/config"),)),), result=result,
    secrets=("password",), point_of_no_return="written",
)  # fmt: skip
