"""The gateway to Proxmox VE: the only speaker of its API.

Folders and words are those of PVE's own API tree. Typed values go in; a value, a `Upid` or a typed error comes out:
`PveRefused` and its kinds (PVE's own no), `PveAway` and its kinds (try again later), `CapacityExceeded`.
Identifiers are parsed again at every door, so nothing that is no identifier reaches a path: `MalformedIdentifier`.
"""

from app.pve.access import AccessApi, AccessToken, AccessUser
from app.pve.client import Pve
from app.pve.cluster import (
    ClusterApi,
    ClusterStatus,
    NodeLoad,
    PveVersion,
    ResourceGuest,
    ResourceNode,
    Resources,
    ResourceStorage,
)
from app.pve.connections import PveConnections
from app.pve.disks import Disk, free_name, new_disk, unused
from app.pve.endpoint import ApiToken, Endpoint
from app.pve.guests import (
    TIMEFRAMES,
    FileSystem,
    GuestApi,
    GuestConfig,
    GuestStatus,
    MetricPoint,
    Restore,
    SnapshotRow,
    marked,
    unmarked,
)
from app.pve.lxc import ContainerApi, ContainerCreate, ContainerSettings
from app.pve.nodes import Interface, NodeApi, NodeStatus, Service
from app.pve.pools import Pool, PoolsApi
from app.pve.qemu import VmApi, VmCreate, VmSettings
from app.pve.storage import NodeStorage, VolumeRow
from app.pve.tasks import TaskRow, TaskStatus

__all__ = [
    "TIMEFRAMES",
    "AccessApi",
    "AccessToken",
    "AccessUser",
    "ApiToken",
    "ClusterApi",
    "ClusterStatus",
    "ContainerApi",
    "ContainerCreate",
    "ContainerSettings",
    "Disk",
    "Endpoint",
    "FileSystem",
    "GuestApi",
    "GuestConfig",
    "GuestStatus",
    "Interface",
    "MetricPoint",
    "NodeApi",
    "NodeLoad",
    "NodeStatus",
    "NodeStorage",
    "Pool",
    "PoolsApi",
    "Pve",
    "PveConnections",
    "PveVersion",
    "ResourceGuest",
    "ResourceNode",
    "ResourceStorage",
    "Resources",
    "Restore",
    "Service",
    "SnapshotRow",
    "TaskRow",
    "TaskStatus",
    "VmApi",
    "VmCreate",
    "VmSettings",
    "VolumeRow",
    "free_name",
    "marked",
    "new_disk",
    "unmarked",
    "unused",
]
