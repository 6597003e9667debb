"""What the house asks of a local hypervisor. `app.qemu.libvirt` is the one that does it; the worker alone calls it.

A machine is known by our guest's id, which is its UUID at the hypervisor; its mark (tenant and id, in its metadata) is
read before anything of it is changed, and what carries none is a stranger's and never touched.

Every change may be asked for twice: what is so already is success. Errors: `QemuAway` (the daemon does not answer, or
is busy with this machine: try again later), `QemuRefused` (it said no), `QemuAbsent` (there is no such machine,
snapshot or network), `QemuForeign` (there is one, without our mark). Calls block; none waits for a guest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.domain.identifiers import SnapshotName
from app.qemu.machines import (
    BackupProgress,
    Disk,
    Figures,
    GuestInfo,
    MacAddress,
    Machine,
    MachineId,
    Media,
    NetworkId,
    Nic,
    Picture,
    Sighting,
    Snapshot,
)
from app.qemu.networks import Network


@dataclass(frozen=True)
class Accelerator:
    """`type` is `kvm` or `tcg`; `reason` is one sentence for people: what the probe saw."""

    type: str
    reason: str


@dataclass(frozen=True)
class Interface:
    """A network interface of the host that may carry guests by macvtap; `up` tells whether it has a carrier."""

    name: str
    up: bool
    mac: str


@dataclass(frozen=True)
class Host:
    """`memory` and `free_memory` MiB. `cpu_models` are the names that a Machine's `cpu` may have here. `bridges` are
    the host's own, without those of `ensure_network`. `features` are of: uefi, uefi-secure, tpm, spice, networks."""

    hypervisor: str
    library: str
    accelerator: Accelerator
    cores: int
    cpu: str
    memory: int
    free_memory: int
    cpu_models: tuple[str, ...]
    bridges: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    features: frozenset[str]


class HypervisorDriver(Protocol):
    # -- all at once

    def host(self) -> Host:
        """What this host is and can do."""

    def machines(self) -> Mapping[MachineId, Sighting]:
        """All that carry our mark, in one call. One that cannot be read is left out, not an error."""

    def statistics(self) -> Mapping[MachineId, Figures]:
        """Of all running machines that carry our mark, in one call; seconds while guests boot: in the background."""

    # -- a machine

    def define(self, machine: Machine) -> None:
        """Make it, or change it to be as given. A running one has its new shape after its next start."""

    def undefine(self, machine: MachineId) -> None:
        """Forget a stopped machine, its firmware variables, its TPM and what is known of its snapshots; its disks
        stay. One that is absent is success; a running one is refused (`qemu.running`)."""

    def sight(self, machine: MachineId) -> Sighting:
        """Raises QemuAbsent, QemuForeign."""

    def start(self, machine: MachineId) -> None:
        """Power on. One that is paused goes on."""

    def shutdown(self, machine: MachineId) -> None:
        """Press the power button (ACPI); returns at once. A stopped one is success, a paused one is refused
        (`qemu.paused`): it cannot hear it."""

    def destroy(self, machine: MachineId) -> None:
        """Cut the power. A stopped or absent one is success."""

    def reboot(self, machine: MachineId) -> None:
        """Ask the guest to start anew (agent, else ACPI); returns at once. Raises `qemu.stopped`."""

    def reset(self, machine: MachineId) -> None:
        """Press the reset button. Raises `qemu.stopped`."""

    def pause(self, machine: MachineId) -> None:
        """Raises `qemu.stopped`."""

    def resume(self, machine: MachineId) -> None:
        """Raises `qemu.stopped`."""

    # -- devices

    def attach_disk(self, machine: MachineId, disk: Disk) -> None:
        """For good, and at once where it runs. Raises Conflict `guest.devices` where its slot is taken by another one,
        QemuRefused `qemu.cold_only` where it runs and its bus takes none."""

    def detach_disk(self, machine: MachineId, disk: Disk) -> bool:
        """For good, and at once where it runs; True when it is gone. False: a running guest has been asked to let go
        of it, call again. The disk's file is left alone."""

    def resize_disk(self, machine: MachineId, disk: Disk, size: int) -> None:
        """Grow to `size` bytes a disk of a running machine; the guest sees it at once. Smaller than it is: refused.
        The file of a stopped machine's disk is `Files.grow`'s. Raises `qemu.stopped`."""

    def change_media(self, machine: MachineId, media: Media) -> None:
        """Put another image into a drive, or none. The drive must be there (QemuAbsent)."""

    def attach_nic(self, machine: MachineId, nic: Nic) -> None:
        """For good, and at once where it runs. One of the same address is success where all is the same."""

    def detach_nic(self, machine: MachineId, mac: MacAddress) -> bool:
        """As `detach_disk`."""

    # -- snapshots: inside the qcow2 files, with the memory of a running machine

    def snapshots(self, machine: MachineId) -> Sequence[Snapshot]:
        """Oldest first."""

    def create_snapshot(self, machine: MachineId, name: SnapshotName, description: str) -> None:
        """A running machine stands still for its duration. One of this name is success. Raises
        `qemu.snapshot_unsupported` (a raw disk)."""

    def revert_snapshot(self, machine: MachineId, name: SnapshotName) -> None:
        """The machine then runs, or does not, as when it was taken. Raises QemuAbsent."""

    def delete_snapshot(self, machine: MachineId, name: SnapshotName) -> None:
        """One that is absent is success."""

    # -- backup of a running machine

    def begin_backup(self, machine: MachineId, targets: Mapping[str, Path]) -> None:
        """Copy disks (by `Disk.target`) as they are at this moment into new qcow2 files, whole, with what lies
        beneath an overlay. Returns at once; see `backup_progress`. The same backup under way is success; another one
        raises QemuAway. Raises `qemu.stopped` (copy the files of a stopped machine by `Files.copy`) and
        `qemu.backup_lost` (see there)."""

    def backup_progress(self, machine: MachineId) -> BackupProgress:
        """Of the backup under way, or how the last one since the machine's start ended: with DONE its files are whole
        and closed. NONE where nobody knows any more, as after the daemon's or the machine's end: begin again."""

    def cancel_backup(self, machine: MachineId) -> None:
        """What was written is left to its owner. None under way is success."""

    # -- inside the guest

    def guest_info(self, machine: MachineId) -> GuestInfo | None:
        """What the agent says, within some seconds; None where none answers."""

    def set_password(self, machine: MachineId, user: str, password: str) -> None:
        """By the agent. Raises `qemu.agent_absent`."""

    def picture(self, machine: MachineId) -> Picture:
        """Of the first screen. Raises `qemu.stopped`."""

    # -- networks

    def ensure_network(self, network: Network) -> None:
        """Make it, or bring its reservations and forwards to what is given, and let it run. Its guests then reach each
        other and, with NAT, the world; not the host but for DHCP and DNS, not another network of ours, no private
        address. Raises `qemu.subnet_taken` (the host has a route there), `qemu.network_unguarded` (what keeps guests
        from the host is not installed), Invalid for another mode or subnet than it has."""

    def remove_network(self, network: NetworkId) -> None:
        """One that is absent is success; one that running machines are in is refused (`qemu.network_in_use`)."""

    def close(self) -> None:
        """Leave the daemon; machines run on."""
