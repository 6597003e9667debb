"""/cluster: everything of a cluster in one call, and its quorum."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.guests import GuestKind
from app.domain.identifiers import NodeName, StorageId, VmId
from app.pve.answers import Row, rows
from app.pve.firewall import SecurityGroupsApi
from app.pve.speaking import Speaker

MIB = 1024 * 1024


@dataclass(frozen=True)
class PveVersion:
    """As "9.1.8", "9.1", "a8e257e1ad64dd92"."""

    version: str
    release: str
    repoid: str


@dataclass(frozen=True)
class ResourceGuest:
    """`memory` MiB and `cores` are what it may use; `mem` and `disk` bytes, `cpu` 0..1 of its cores, `uptime` seconds.

    A new guest is there at once; `status` is "unknown" and the numbers 0 until the next broadcast (up to 10 s).
    """

    vmid: VmId
    kind: GuestKind
    node: NodeName
    name: str
    status: str
    lock: str | None
    template: bool
    pool: str | None
    cores: int
    memory: int
    disk: int
    mem: int
    cpu: float
    uptime: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class ResourceNode:
    """`status` is "online", "offline" or "unknown"; `maxmem`, `mem` bytes, `cpu` 0..1. Zeros without Sys.Audit."""

    node: NodeName
    status: str
    maxcpu: int
    cpu: float
    maxmem: int
    mem: int


@dataclass(frozen=True)
class NodeLoad:
    """`cpu` is a share of `maxcpu`, 0..1; zeros for a node that is not online, and without Sys.Audit."""

    node: NodeName
    status: str
    maxcpu: int
    cpu: float


@dataclass(frozen=True)
class ResourceStorage:
    """A storage as one node sees it; `total`, `used` bytes. `status` is "available" or "unknown"."""

    storage: StorageId
    node: NodeName
    status: str
    shared: bool
    content: frozenset[str]
    total: int
    used: int
    plugintype: str


@dataclass(frozen=True)
class Resources:
    """All that the identity may see, without order."""

    guests: tuple[ResourceGuest, ...]
    nodes: tuple[ResourceNode, ...]
    storages: tuple[ResourceStorage, ...]
    pools: tuple[str, ...]


@dataclass(frozen=True)
class ClusterStatus:
    """`nodes`: name -> whether it is online. A single node without cluster is quorate."""

    name: str | None
    quorate: bool
    nodes: dict[NodeName, bool]


class ClusterApi:
    def __init__(self, client: Speaker) -> None:
        self._client = client
        self.security_groups = SecurityGroupsApi(client)

    def resources(self) -> Resources:
        """GET /cluster/resources, unfiltered: the only form that lists pools too."""
        by_type: dict[str, list[Row]] = {}
        for row in rows(self._client.get(("cluster", "resources"))):
            by_type.setdefault(row.text("type"), []).append(row)
        return Resources(
            guests=tuple(_guest(row) for kind in ("qemu", "lxc") for row in by_type.get(kind, ())),
            nodes=tuple(_node(row) for row in by_type.get("node", ())),
            storages=tuple(_storage(row) for row in by_type.get("storage", ())),
            pools=tuple(row.text("pool") for row in by_type.get("pool", ())),
        )

    def status(self) -> ClusterStatus:
        """GET /cluster/status."""
        name, quorate, nodes = None, True, {}
        for row in rows(self._client.get(("cluster", "status"))):
            if row.text("type") == "cluster":
                name, quorate = row.maybe("name"), row.flag("quorate")
            elif row.text("type") == "node":
                nodes[row.identifier("name", NodeName)] = row.flag("online")
        return ClusterStatus(name, quorate, nodes)

    def nodes(self) -> list[NodeLoad]:
        """GET /nodes: every node with its load."""
        return [
            NodeLoad(
                row.identifier("node", NodeName), row.text("status", "unknown"), row.number("maxcpu"), row.real("cpu")
            )
            for row in rows(self._client.get(("nodes",)))
        ]

    def firewall_macros(self) -> list[str]:
        """GET /cluster/firewall/macros: names of services, each with its protocol and ports. Anybody may ask."""
        return [row.text("macro") for row in rows(self._client.get(("cluster", "firewall", "macros")))]


def version_of(answer: object) -> PveVersion:
    row = Row(answer)
    return PveVersion(row.text("version"), row.text("release"), row.text("repoid"))


def _guest(row: Row) -> ResourceGuest:
    return ResourceGuest(
        vmid=row.vmid(),
        kind=GuestKind.VM if row.text("type") == "qemu" else GuestKind.CT,
        node=row.identifier("node", NodeName),
        name=row.text("name"),
        status=row.text("status", "unknown"),
        lock=row.maybe("lock"),
        template=row.flag("template"),
        pool=row.maybe("pool"),
        cores=row.number("maxcpu"),
        memory=row.number("maxmem") // MIB,
        disk=row.number("maxdisk"),
        mem=row.number("mem"),
        cpu=row.real("cpu"),
        uptime=row.number("uptime"),
        tags=row.words("tags"),
    )


def _node(row: Row) -> ResourceNode:
    return ResourceNode(
        node=row.identifier("node", NodeName),
        status=row.text("status", "unknown"),
        maxcpu=row.number("maxcpu"),
        cpu=row.real("cpu"),
        maxmem=row.number("maxmem"),
        mem=row.number("mem"),
    )


def _storage(row: Row) -> ResourceStorage:
    return ResourceStorage(
        storage=row.identifier("storage", StorageId),
        node=row.identifier("node", NodeName),
        status=row.text("status", "unknown"),
        shared=row.flag("shared"),
        content=frozenset(row.words("content")),
        total=row.number("maxdisk"),
        used=row.number("disk"),
        plugintype=row.text("plugintype"),
    )
