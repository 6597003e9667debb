"""/nodes/{node}: a node, its tasks, its storages, and the way to its guests."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.backups import BackupMode, Compression
from app.domain.errors import Invalid
from app.domain.identifiers import NodeName, StorageId, Upid, VmId, Volid
from app.domain.storages import Upload
from app.pve import storage as volumes
from app.pve.answers import Row, rows, upid
from app.pve.cluster import PveVersion, version_of
from app.pve.guests import GuestConfig, config_of_text
from app.pve.lxc import ContainerApi
from app.pve.qemu import VmApi
from app.pve.speaking import Scalar, Speaker
from app.pve.tasks import TaskRow, TaskStatus, stop_task, task_list, task_log, task_log_page, task_page, task_status
from app.pve.upload import Form

SOURCES = ("active", "archive", "all")


@dataclass(frozen=True)
class NodeStatus:
    """Memory and root file system in bytes, `cpu` 0..1, `uptime` seconds, `loadavg` over 1, 5 and 15 minutes."""

    pveversion: str
    kernel: str
    cpus: int
    cpu: float
    loadavg: tuple[float, ...]
    memory_total: int
    memory_used: int
    root_total: int
    root_used: int
    uptime: int


@dataclass(frozen=True)
class Interface:
    """`type` is "bridge", "OVSBridge", "eth", ...; `cidr` its own address, if any."""

    iface: str
    type: str
    active: bool
    cidr: str | None
    comments: str


@dataclass(frozen=True)
class Service:
    """A daemon of the node; `state` as in "running" or "dead", `enabled`: it starts with the node."""

    name: str
    description: str
    state: str
    enabled: bool


class NodeApi:
    def __init__(self, client: Speaker, node: NodeName) -> None:
        self._client = client
        self.name = node

    def lxc(self, vmid: VmId) -> ContainerApi:
        return ContainerApi(self._client, self.name, VmId.parse(vmid))

    def qemu(self, vmid: VmId) -> VmApi:
        return VmApi(self._client, self.name, VmId.parse(vmid))

    def status(self) -> NodeStatus:
        """Needs Sys.Audit. Raises PveUnreachable where this node is away though the cluster is not."""
        row = Row(self._client.get(("nodes", self.name, "status")))
        memory, root, cpuinfo = (Row(row.values.get(part) or {}) for part in ("memory", "rootfs", "cpuinfo"))
        return NodeStatus(
            pveversion=row.text("pveversion"),
            kernel=row.text("kversion"),
            cpus=cpuinfo.number("cpus"),
            cpu=row.real("cpu"),
            loadavg=tuple(float(load) for load in row.values.get("loadavg") or ()),
            memory_total=memory.number("total"),
            memory_used=memory.number("used"),
            root_total=root.number("total"),
            root_used=root.number("used"),
            uptime=row.number("uptime"),
        )

    def version(self) -> PveVersion:
        return version_of(self._client.get(("nodes", self.name, "version")))

    def services(self) -> list[Service]:
        """Needs Sys.Audit."""
        return [
            Service(
                row.text("service"), row.text("desc"), row.text("state", "unknown"),
                row.text("unit-state").startswith("enabled"),
            )
            for row in rows(self._client.get(("nodes", self.name, "services")))
        ]  # fmt: skip

    def network(self) -> list[Interface]:
        return [
            Interface(
                row.text("iface"), row.text("type"), row.flag("active"), row.maybe("cidr"), row.text("comments").strip()
            )
            for row in rows(self._client.get(("nodes", self.name, "network")))
        ]

    def bridges(self) -> list[str]:
        """What a guest's card may be put on: bridges of both makes, and virtual networks of the cluster. Without
        SDN.Audit or SDN.Use PVE leaves them out."""
        listing = self._client.get(("nodes", self.name, "network"), {"type": "any_bridge"})
        return [row.text("iface") for row in rows(listing)]

    # -- tasks

    def tasks(
        self, *, vmid: VmId | None = None, typefilter: str | None = None, since: int | None = None, source: str = "all",
        userfilter: str | None = None, limit: int = 500,
    ) -> list[TaskRow]:  # fmt: skip
        """Newest first; only this identity's own without Sys.Audit. `since` seconds of epoch by the node's clock."""
        if source not in SOURCES:
            raise Invalid({"source": [f"must be one of {', '.join(SOURCES)}"]})
        return task_list(
            self._client, self.name, vmid=None if vmid is None else VmId.parse(vmid), typefilter=typefilter,
            since=since, source=source, userfilter=userfilter, limit=limit,
        )  # fmt: skip

    def task_page(self, *, start: int, limit: int) -> tuple[list[TaskRow], int]:
        """`tasks` from the number `start` on, running ones too, and how many there are."""
        return task_page(self._client, self.name, start=start, limit=limit)

    def task_status(self, upid: Upid) -> TaskStatus:
        """Raises PveAbsent for a task that PVE does not know (any more)."""
        return task_status(self._client, upid)

    def task_log(self, upid: Upid, limit: int = 50) -> list[str]:
        return task_log(self._client, upid, limit)

    def task_log_page(self, upid: Upid, *, start: int, limit: int) -> tuple[list[str], int]:
        return task_log_page(self._client, upid, start=start, limit=limit)

    def stop_task(self, upid: Upid) -> None:
        stop_task(self._client, upid)

    # -- storages

    def storages(self) -> list[volumes.NodeStorage]:
        return volumes.storages(self._client, self.name)

    def storage_content(
        self, storage: StorageId, content: str | None = None, vmid: VmId | None = None
    ) -> list[volumes.VolumeRow]:
        """`content` is "iso", "vztmpl", "import", "backup", "images" or "rootdir"."""
        return volumes.storage_content(self._client, self.name, storage, content, vmid)

    def upload(self, storage: StorageId, upload: Upload) -> tuple[Upid, str]:
        """The task (`imgcopy`) that puts the file into its place, and the SHA-256 of what was sent.

        Raises Invalid for another checksum than was told, and whatever reading the file raises.
        """
        form = Form(upload)
        path = ("nodes", self.name, "storage", StorageId.parse(storage), "upload")
        return upid(self._client.upload(path, form)), form.sha256

    # -- backups

    def back_up(self, vmid: VmId, *, storage: StorageId, mode: BackupMode, compress: Compression, notes: str) -> Upid:
        """Start `vzdump` of one guest. What lies there already stays, whatever the storage's own retention says.

        Raises Invalid for notes with braces in which PVE would put something of its own.
        """
        if "{{" in notes:
            raise Invalid({"notes": ["must not have {{ in it"]})
        params: dict[str, Scalar] = {
            "vmid": VmId.parse(vmid), "storage": StorageId.parse(storage), "mode": BackupMode(mode),
            "compress": Compression(compress), "remove": 0,
            # a single line, in which PVE reads \n as the end of a line
            "notes-template": notes.replace("\\", "\\\\").replace("\n", "\\n"),
        }  # fmt: skip
        return upid(self._client.post(("nodes", self.name, "vzdump"), params))

    def archived_config(self, volid: Volid) -> GuestConfig:
        """The config that an archive was taken with. Raises PveRefused where it cannot be read."""
        answer = self._client.get(("nodes", self.name, "vzdump", "extractconfig"), {"volume": Volid.parse(volid)})
        return config_of_text(str(answer))

    def volume_size(self, volid: Volid) -> int:
        """Bytes; of a disk image those of the disk."""
        return volumes.volume_size(self._client, self.name, volid)

    def delete_volume(self, volid: Volid) -> Upid | None:
        """None where PVE was done at once."""
        return volumes.delete_volume(self._client, self.name, volid)
