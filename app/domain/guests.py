"""A guest and what is asked for when one is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.domain.identifiers import BridgeName, GuestName, StorageId, Tag, VmId, Volid


class GuestKind(StrEnum):
    VM = "vm"
    CT = "ct"


class GuestState(StrEnum):
    CREATING = "creating"
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    FAILED = "failed"
    MISSING = "missing"
    UNKNOWN = "unknown"


def owner_mark(guest_id: str) -> str:
    """The line in a PVE guest's description that says whose it is; create and clone of both kinds take it under
    a tenant's token (measured on PVE 9.1), and nothing without it is ever destroyed by us."""
    return f"poolhouse-guest: {guest_id}"


@dataclass(frozen=True)
class Network:
    """One network card. `rate` in MB/s as PVE means it; `ip` is `dhcp` or a CIDR."""

    bridge: BridgeName | None = None
    ip: str = "dhcp"
    gw: str | None = None
    vlan: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class CloudInit:
    """What a VM is told at its first boot. `ip` is as a Network's; `ip6` beside it is auto, dhcp or a CIDR.
    `nameserver` and `searchdomain` are one or several, separated by blanks."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ssh_keys: tuple[str, ...] = ()
    ip: str | None = None
    gw: str | None = None
    nameserver: str | None = None
    searchdomain: str | None = None
    ip6: str | None = None
    gw6: str | None = None


@dataclass(frozen=True)
class Placement:
    """Where a guest is asked to live; a tenant or its pool may be named by callers that are in several. Rather near to
    the tenant's guests with a tag of `affinity`, and rather far from those with one of `anti_affinity`."""

    tenant: str | None = None
    poolid: str | None = None
    vmid: VmId | None = None
    affinity: tuple[Tag, ...] = ()
    anti_affinity: tuple[Tag, ...] = ()


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is to be. `memory`, `swap` MiB; `disk_gb` GiB; `onboot`: it starts when its node starts."""

    name: GuestName
    template: str
    memory: int = 512
    cores: int = 1
    swap: int = 512
    storage: StorageId | None = None
    disk_gb: int = 8
    net: Network = field(default_factory=Network)
    ssh_keys: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    nesting: bool = False
    tags: tuple[Tag, ...] = ()
    start: bool = False
    onboot: bool = False
    placement: Placement = field(default_factory=Placement)


@dataclass(frozen=True)
class VmSpec:
    """What a VM is to be: an empty disk with an ISO, a clone of a template, or a copy of a disk image. `memory` MiB;
    `disk_gb` GiB."""

    name: GuestName
    memory: int = 2048
    cores: int = 2
    storage: StorageId | None = None
    disk_gb: int = 20
    net: Network = field(default_factory=Network)
    iso: Volid | None = None
    template: str | None = None
    image: str | None = None
    cloud_init: CloudInit | None = None
    tags: tuple[Tag, ...] = ()
    start: bool = False
    onboot: bool = False
    placement: Placement = field(default_factory=Placement)


@dataclass(frozen=True)
class CloneSpec:
    """A guest out of another one. `full`: with disks of its own; else linked to a template's, where those are.

    `storage` None: where the source has its disks. `poolid` None: in the source's pool. `newid` None: a free number.
    """

    name: GuestName
    full: bool = True
    storage: StorageId | None = None
    poolid: str | None = None
    newid: VmId | None = None


@dataclass(frozen=True)
class NetworkChange:
    """What is to be different about a network card: None stays as it is, a `vlan` or `rate` of 0 goes.

    A new `ip` comes with its own `gw`, or has none. A `card` that is named must be there; else it is net0, which is
    made where there is none.
    """

    bridge: BridgeName | None = None
    ip: str | None = None
    gw: str | None = None
    vlan: int | None = None
    rate: float | None = None
    card: str | None = None


@dataclass(frozen=True)
class GuestChange:
    """What is to be different about a guest; None stays as it is. `memory`, `swap` MiB; `disk_increment_gb` GiB.

    `swap` is a container's. `disk_increment_gb` is how much the disk that it boots from grows.
    """

    name: GuestName | None = None
    cores: int | None = None
    memory: int | None = None
    swap: int | None = None
    net: NetworkChange | None = None
    tags: tuple[Tag, ...] | None = None
    description: str | None = None
    onboot: bool | None = None
    disk_increment_gb: int = 0


@dataclass(frozen=True)
class Watch:
    """Until when a guest is watched: it runs and, where a `port` is named, that TCP port answers on `host`, or on any
    address of its own where none is named. Times in seconds; `timeout` counts `startup_delay` in."""

    port: int | None = None
    host: str | None = None
    timeout: int = 300
    interval: int = 10
    startup_delay: int = 0


@dataclass(frozen=True)
class Restart:
    """`cooldown`: for so many seconds after its success the guest is not restarted again. `shutdown_timeout`: how many
    seconds it has to shut down by itself."""

    watch: Watch = field(default_factory=Watch)
    cooldown: int = 0
    shutdown_timeout: int = 60


@dataclass(frozen=True)
class LogIn:
    """How one gets into a guest, as the user that it was made with; None stays as it is."""

    password: str | None = field(default=None, repr=False)
    ssh_keys: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Rebuild:
    """A guest begins anew, from a template, with its number, size, cards and tags; what was on its disks is gone."""

    template: str
    log_in: LogIn = field(default_factory=LogIn)
    start: bool = False


@dataclass(frozen=True)
class Located:
    """Which guest a number means, and the state that it was last seen in."""

    kind: GuestKind
    id: str
    state: GuestState


@dataclass(frozen=True)
class Standing:
    """A guest as it was agreed to be: `cores`, `memory` (MiB) and `disk_gb` are those that an open change gives it.
    `doing` is the type of the operation that is open on it, `stuck` whether that one needs somebody's help."""

    id: str
    vmid: int
    name: str
    kind: str
    state: str
    cores: int
    memory: int
    disk_gb: int
    created_at: datetime
    doing: str | None = None
    stuck: bool = False


@dataclass(frozen=True)
class GuestFilter:
    """What a list of guests is narrowed to; `poolid` and `tenant` are resolved within what the caller may see."""

    poolid: str | None = None
    tenant: str | None = None
    node: str | None = None
    status: str | None = None
    name: str | None = None
    tag: str | None = None
    template: str | None = None
    unprivileged: str | None = None
