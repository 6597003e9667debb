"""/nodes/{node}/{lxc,qemu}/{vmid}: what containers and VMs have in common."""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol
from urllib.parse import unquote

from app.domain.errors import Invalid, PveAbsent
from app.domain.identifiers import DiskName, GuestName, NodeName, PoolId, SnapshotName, StorageId, Upid, VmId, Volid
from app.pve import tasks
from app.pve.answers import Row, rows, upid
from app.pve.disks import Disk, disks_of
from app.pve.firewall import GuestFirewallApi
from app.pve.speaking import Path, Scalar, Speaker

MARK = re.compile(r"^poolhouse-guest: \S+", re.MULTILINE)
#: PVE 9.1: `Configuration file 'nodes/n1/lxc/101.conf' does not exist`. An unknown node's name reads otherwise.
_NO_CONFIG = re.compile(r"[Cc]onfiguration file .* does not exist")
_DRIVE = re.compile(r"(scsi|virtio|sata|ide)\d+", re.ASCII)
_BRIDGE = re.compile(r"(?:^|,)bridge=([^,]+)", re.ASCII)
_ADDRESSED, _ADDRESS = re.compile(r"(net|ipconfig)\d+", re.ASCII), re.compile(r"(?:^|,)ip6?=([0-9A-Fa-f:.]+)/")
_LOCALHOST = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


class Settings(Protocol):
    """Something that can be written into a guest's config."""

    def wire(self) -> Mapping[str, Scalar]: ...


@dataclass(frozen=True)
class GuestConfig:
    """A guest's config as it will be at the next start. While the guest is being made it is `lock` and digest only.

    `values` is PVE's own, all as texts. `memory` MiB. `cores` counts sockets in; 0 is a container without limit.
    """

    values: Mapping[str, str]

    @property
    def digest(self) -> str:
        return self.values.get("digest", "")

    @property
    def lock(self) -> str | None:
        return self.values.get("lock")

    @property
    def is_whole(self) -> bool:
        """False while PVE still makes the guest: nothing can be said of it then."""
        return bool(self.values.keys() - {"lock", "digest"})

    @property
    def description(self) -> str:
        return self.values.get("description", "")

    @property
    def owner_mark(self) -> str | None:
        """The first line of the description that is a mark of ours (`app.domain.guests.owner_mark`)."""
        found = MARK.search(self.description)
        return found.group() if found else None

    @property
    def name(self) -> str:
        return self.values.get("name") or self.values.get("hostname", "")

    @property
    def unprivileged(self) -> bool:
        """Of a container; PVE leaves the key out for privileged ones."""
        return self.values.get("unprivileged") == "1"

    @property
    def fixed_addresses(self) -> tuple[str, ...]:
        """Those that its cards are given: of a container in the card, of a VM by cloud-init."""
        found = [
            match.group(1)
            for key, value in sorted(self.values.items())
            if _ADDRESSED.fullmatch(key)
            for match in _ADDRESS.finditer(value)
        ]
        return tuple(outward(found))

    @property
    def has_cloud_init(self) -> bool:
        return any(_DRIVE.fullmatch(key) and "cloudinit" in value for key, value in self.values.items())

    @property
    def template(self) -> bool:
        return self.values.get("template") == "1"

    @property
    def tags(self) -> tuple[str, ...]:
        return Row(self.values).words("tags")

    @property
    def memory(self) -> int:
        digits = re.search(r"\d+", self.values.get("memory", "512"))
        return int(digits.group()) if digits else 512

    @property
    def cores(self) -> int:
        row = Row(self.values)
        return row.number("cores", 0 if "rootfs" in self.values else 1) * row.number("sockets", 1)

    @property
    def disks(self) -> tuple[Disk, ...]:
        """Those with data of the guest: no CD, no cloud-init drive, nothing unused."""
        return tuple(disks_of(self.values))

    @property
    def cards(self) -> Mapping[str, str]:
        """Its network cards, `net0` and the like, as PVE writes them."""
        return {key: value for key, value in self.values.items() if re.fullmatch(r"net\d+", key, re.ASCII)}

    @property
    def bridges(self) -> frozenset[str]:
        """That its network cards are on."""
        found = (_BRIDGE.search(value) for value in self.cards.values())
        return frozenset(bridge.group(1) for bridge in found if bridge is not None)

    @property
    def size(self) -> Mapping[str, int]:
        """What a guest is charged for: `cores`, `memory` (MiB), `disk_gb` (GiB, of all its disks)."""
        return {"cores": self.cores, "memory": self.memory, "disk_gb": sum(disk.size_gb for disk in self.disks)}

    @property
    def boot_disk(self) -> Disk | None:
        """The container's root, or the first disk that the VM boots from, or its first one."""
        by_name = {disk.name: disk for disk in self.disks}
        _, _, order = self.values.get("boot", "").partition("order=")
        names = ["rootfs", *order.split(";"), "scsi0", "virtio0", "sata0", "ide0"]
        return next((by_name[name] for name in names if name in by_name), None)


@dataclass(frozen=True)
class GuestStatus:
    """`status` is "running" or "stopped"; `qmpstatus` says of a VM whether it is "paused". Sizes in bytes, `cpu` 0..1.

    `agent`: the VM's config says that it has a guest agent.
    """

    status: str
    qmpstatus: str | None
    lock: str | None
    uptime: int
    cpus: int
    cpu: float
    mem: int
    maxmem: int
    disk: int
    maxdisk: int
    netin: int
    netout: int
    agent: bool


TIMEFRAMES = ("hour", "day", "week", "month", "year")


@dataclass(frozen=True)
class MetricPoint:
    """What a guest used at `time` (seconds of epoch), on average or at most since the point before. Sizes in bytes,
    traffic in bytes a second, `cpu` 0..1 of `cpus`; None where PVE has no figure."""

    time: int
    cpu: float | None
    cpus: float | None
    memory: float | None
    memory_max: float | None
    disk: float | None
    disk_max: float | None
    net_in: float | None
    net_out: float | None
    disk_read: float | None
    disk_write: float | None


#: Member of a point -> PVE's word for it.
_FIGURES = {
    "cpu": "cpu", "cpus": "maxcpu", "memory": "mem", "memory_max": "maxmem", "disk": "disk", "disk_max": "maxdisk",
    "net_in": "netin", "net_out": "netout", "disk_read": "diskread", "disk_write": "diskwrite",
}  # fmt: skip


@dataclass(frozen=True)
class FileSystem:
    """As seen from inside the guest; `total` and `used` in bytes."""

    mountpoint: str
    type: str
    total: int
    used: int


@dataclass(frozen=True)
class SnapshotRow:
    """A line of a guest's snapshots; `taken_at` seconds of epoch, 0 while it is being taken."""

    name: str
    description: str
    vmstate: bool
    parent: str | None
    taken_at: int


@dataclass(frozen=True)
class Restore:
    """What comes back of an archive. `pool` None: over the guest that is there; else as a new one, with new MACs, in
    this pool, with this `name`, `memory` (MiB) and `cores`. `storage` None: the disks go where they were.
    `description` carries the mark."""

    archive: Volid
    storage: StorageId | None
    description: str
    pool: PoolId | None = None
    name: GuestName | None = None
    memory: int | None = None
    cores: int | None = None

    def wire(self) -> dict[str, Scalar]:
        """What both kinds have in common."""
        return {
            "storage": StorageId.parse(self.storage) if self.storage is not None else None,
            "description": self.description,
            "pool": PoolId.parse(self.pool) if self.pool is not None else None,
            "memory": self.memory,
            "cores": self.cores,
            "unique": True if self.pool is not None else None,
            "force": None if self.pool is not None else True,
        }


class GuestApi(ABC):
    """One guest, which may not exist: PveAbsent; PveRefused to an identity that may not see it, there or not."""

    folder: ClassVar[str]
    #: The call that moves a disk, and its word for the disk.
    moving: ClassVar[tuple[str, str]]

    def __init__(self, client: Speaker, node: NodeName, vmid: VmId) -> None:
        self._client = client
        self.node = node
        self.vmid = vmid
        self._path: Path = ("nodes", node, self.folder, vmid)

    @property
    def firewall(self) -> GuestFirewallApi:
        return GuestFirewallApi(self._client, (*self._path, "firewall"))

    # -- reading

    def config(self, *, current: bool = False) -> GuestConfig:
        """As it will be at the next start, or, with `current`, as it runs."""
        row = Row(self._client.get((*self._path, "config"), {"current": True} if current else {}))
        return GuestConfig({key: str(value) for key, value in row.values.items() if value is not None})

    def is_absent(self) -> bool:
        """Whether PVE itself says that it has no config of this guest on this node; no other refusal counts as that.

        Raises PveRefused to an identity that may not see it, there or not.
        """
        try:
            self.config()
        except PveAbsent as error:
            return _NO_CONFIG.search(error.upstream) is not None
        return False

    def status(self) -> GuestStatus:
        row = Row(self._client.get((*self._path, "status", "current")))
        return GuestStatus(
            status=row.text("status", "unknown"),
            qmpstatus=row.maybe("qmpstatus"),
            lock=row.maybe("lock"),
            uptime=row.number("uptime"),
            cpus=int(row.real("cpus")),
            cpu=row.real("cpu"),
            mem=row.number("mem"),
            maxmem=row.number("maxmem"),
            disk=row.number("disk"),
            maxdisk=row.number("maxdisk"),
            netin=row.number("netin"),
            netout=row.number("netout"),
            agent=row.flag("agent"),
        )

    def metrics(self, timeframe: str, *, peaks: bool = False) -> list[MetricPoint]:
        """GET rrddata, oldest first, over one of `TIMEFRAMES`; without the points of times when it was off."""
        if timeframe not in TIMEFRAMES:
            raise Invalid({"timeframe": [f"must be one of {', '.join(TIMEFRAMES)}"]})
        params = {"timeframe": timeframe, "cf": "MAX" if peaks else "AVERAGE"}
        found = rows(self._client.get((*self._path, "rrddata"), params))
        return [_point(row) for row in sorted(found, key=lambda row: row.number("time")) if len(row.values) > 1]

    def pending(self) -> frozenset[str]:
        """The options whose change waits for the next start."""
        found = rows(self._client.get((*self._path, "pending")))
        return frozenset(row.text("key") for row in found if "pending" in row.values or "delete" in row.values)

    def owned_by(self, mark: str) -> bool:
        """Whether this very mark is in its config now; False where there is no such guest, or only its lock yet."""
        try:
            return self.config().owner_mark == mark
        except PveAbsent:
            return False

    @abstractmethod
    def file_systems(self, status: GuestStatus) -> list[FileSystem]:
        """What is mounted inside, as far as somebody tells in time; `status` is the guest's own of this moment."""

    @abstractmethod
    def addresses(self) -> list[str]:
        """The guest's own addresses, without loopback and link-local ones; [] where nobody can tell in time."""

    def find_task(self, typefilter: str, *, since: float) -> Upid | None:
        """The newest task of this type on this guest that this identity started at `since` (our clock) or later.

        For a call whose answer was lost. Nodes' clocks may be `tasks.CLOCK_MARGIN` (60 s) behind ours; a task of that
        minute that is not the lost one is the caller's to rule out. A clone's task is found at its *source*, where
        that of another clone looks alike: the new guest is known by its mark instead.
        """
        margin = int(since) - tasks.CLOCK_MARGIN
        found = tasks.task_list(
            self._client, self.node, vmid=self.vmid, typefilter=typefilter, since=margin, source="all",
            userfilter=None, limit=50,
        )  # fmt: skip
        return tasks.first_of(found, self._client.identity, margin)

    @abstractmethod
    def restore(self, wanted: Restore) -> Upid:
        """Start `vzrestore` or `qmrestore`. A running guest is not overwritten. Raises PveRefused, `pve.exists`."""

    # -- power

    def start(self) -> Upid:
        return self._status("start")

    def stop(self) -> Upid:
        """Cuts the power. A stopped container is `pve.not_running`, a stopped VM's task does nothing."""
        return self._status("stop")

    def shutdown(self, *, timeout: int | None = None, force: bool = False) -> Upid:
        """Asks the guest; after `timeout` seconds the task fails, or, with `force`, stops it."""
        return self._status("shutdown", timeout=timeout, forceStop=force)

    def reboot(self, *, timeout: int | None = None) -> Upid:
        return self._status("reboot", timeout=timeout)

    def suspend(self) -> Upid:
        """Freezes it in memory."""
        return self._status("suspend")

    def resume(self) -> Upid:
        return self._status("resume")

    def reset(self) -> Upid:
        """As the button of a machine does; PVE has it for VMs."""
        return self._status("reset")

    # -- snapshots

    def snapshots(self) -> list[SnapshotRow]:
        """Oldest first, without the state that the guest is in."""
        found = [_snapshot(row) for row in rows(self._client.get((*self._path, "snapshot")))]
        return sorted((one for one in found if one.name != "current"), key=lambda one: one.taken_at)

    def snapshot_config(self, name: SnapshotName) -> GuestConfig:
        """The guest's config as a rollback would bring it back. Raises PveAbsent."""
        row = Row(self._client.get((*self._path, "snapshot", SnapshotName.parse(name), "config")))
        return GuestConfig({key: str(value) for key, value in row.values.items() if value is not None})

    def take_snapshot(self, name: SnapshotName, *, description: str, vmstate: bool) -> Upid:
        params: dict[str, Scalar] = {
            "snapname": SnapshotName.parse(name), "description": description or None, "vmstate": vmstate or None,
        }  # fmt: skip
        return upid(self._client.post((*self._path, "snapshot"), params))

    def roll_back(self, name: SnapshotName) -> Upid:
        """Stops a running guest; one whose snapshot has its memory runs afterwards."""
        return upid(self._client.post((*self._path, "snapshot", SnapshotName.parse(name), "rollback"), {}))

    def delete_snapshot(self, name: SnapshotName, *, force: bool = False) -> Upid:
        """`force`: out of the config also where its volumes cannot be removed."""
        params: dict[str, Scalar] = {"force": force or None}
        return upid(self._client.delete((*self._path, "snapshot", SnapshotName.parse(name)), params))

    # -- what it is, and where

    @abstractmethod
    def make_template(self) -> Upid | None:
        """Of a stopped guest without snapshots, for good. None where PVE does not show the task that it started."""

    @abstractmethod
    def migrate(self, target: NodeName, *, running: bool) -> Upid:
        """With the volumes that only this node has, onto storages of the same names."""

    # -- changing

    @abstractmethod
    def clone(
        self, *, newid: VmId, name: GuestName, full: bool, pool: PoolId, description: str,
        storage: StorageId | None = None, target: NodeName | None = None,
    ) -> Upid:  # fmt: skip
        """The task that makes another guest out of this one; its UPID carries this, the source's, vmid."""

    @abstractmethod
    def destroy(self, *, purge: bool = True, force: bool = False) -> Upid:
        """With `purge` also out of backup jobs. `force` is for running containers; PVE has it for no VM."""

    def update(self, changes: Mapping[str, Scalar], delete: Iterable[str] = (), digest: str | None = None) -> None:
        """Change the config, at once where PVE can and at the next start else. A stale digest is `pve.config_changed`.

        Raises Invalid for what is not on the allow-list (`app.pve.parameters`).
        """
        params = {**changes, "delete": ",".join(sorted(delete)) or None, "digest": digest}
        self._client.put((*self._path, "config"), params)

    def apply(self, settings: Settings) -> None:
        """Write these settings into the config; what they name and leave open goes, as a clone's inherited ssh keys."""
        wire = settings.wire()
        given = {key: value for key, value in wire.items() if value is not None}
        self.update(given, delete=wire.keys() - given.keys())

    def resize(self, disk: str, *, size_gb: int, digest: str | None = None) -> Upid:
        """Grow a disk to `size_gb` GiB; the task fails where it is larger already."""
        if size_gb < 1:
            raise Invalid({"disk": ["must have at least 1 GiB"]})
        params: dict[str, Scalar] = {"disk": DiskName.parse(disk), "size": f"{int(size_gb)}G", "digest": digest}
        return upid(self._client.put((*self._path, "resize"), params))

    def revert(self, options: Iterable[str]) -> None:
        """Forget what waits for the next start."""
        self._client.put((*self._path, "config"), {"revert": ",".join(sorted(options))})

    def move_disk(self, disk: DiskName, storage: StorageId) -> Upid:
        """To another storage; what is left behind goes. PVE moves no disk of a container that runs."""
        call, word = self.moving
        params: dict[str, Scalar] = {
            word: DiskName.parse(disk), "storage": StorageId.parse(storage), "delete": True
        }  # fmt: skip
        return upid(self._client.post((*self._path, call), params))

    def _status(self, command: str, **params: Scalar) -> Upid:
        sent = {key: value for key, value in params.items() if value is not False}
        return upid(self._client.post((*self._path, "status", command), sent))


def _point(row: Row) -> MetricPoint:
    known = {name: row.real(word) if row.values.get(word) is not None else None for name, word in _FIGURES.items()}
    return MetricPoint(row.number("time"), **known)


def config_of_text(text: str) -> GuestConfig:
    """A config as PVE writes it into a file: the guest as it was, without its snapshots and what waits there."""
    values: dict[str, str] = {}
    notes: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            break
        if line.startswith("#qmdump#"):
            continue
        if line.startswith("#"):
            notes.append(unquote(line[1:]))
        elif ": " in line:
            key, _, value = line.partition(": ")
            values[key] = value
    return GuestConfig({**values, "description": "\n".join(notes)})


def marked(description: str, mark: str) -> str:
    """A description with this mark as its first line, and no other one."""
    return f"{mark}\n{unmarked(description)}".strip()


def unmarked(description: str) -> str:
    return MARK.sub("", description).strip()


def outward(addresses: Iterable[str]) -> list[str]:
    """Of addresses with or without prefix length, those that others may use, each once and in order.

    Who gave a card of his another address of the loopback network than localhost is told so: it is his own.
    """
    kept: list[str] = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(text.partition("/")[0].partition("%")[0])
        except ValueError:
            continue
        if not (address in _LOCALHOST or address.is_link_local or address.is_unspecified) and str(address) not in kept:
            kept.append(str(address))
    return kept


def _snapshot(row: Row) -> SnapshotRow:
    return SnapshotRow(
        name=row.text("name"),
        description=row.text("description"),
        vmstate=row.flag("vmstate"),
        parent=row.maybe("parent"),
        taken_at=row.number("snaptime"),
    )
