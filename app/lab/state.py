"""The whole world of a lab as plain data: what a cluster keeps in its files, and what its hosts know.

Everything but the last group of `World`'s fields can be saved to JSON and loaded again exactly (`app.lab.saving`).
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Cluster:
    name: str
    version: int = 2
    quorate: int = 1


@dataclass
class Node:
    """A host. Memory, swap and root file system in bytes; `booted_at` in seconds since the epoch."""

    name: str
    nodeid: int
    ip: str
    cpus: int = 2
    memory: int = 25_276_502_016
    root_size: int = 270_553_174_016
    level: str = ""
    online: int = 1
    reachable: bool = True
    """False: its proxy and daemon are stopped, calls through other nodes end in 595 (facts.md section 13)."""
    booted_at: float = 0
    clock_skew: float = 0
    """Seconds that its clock is ahead of the others; below 0: behind."""
    options: dict[str, Any] = field(default_factory=dict)
    dns: dict[str, str] = field(default_factory=lambda: {"search": "local", "dns1": "127.0.0.1"})
    hosts: str = ""
    timezone: str = "UTC"
    stopped_services: set[str] = field(default_factory=set)
    interfaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending_interfaces: dict[str, dict[str, Any]] | None = None


@dataclass
class Token:
    """An API token; `secret` is the UUID that its owner was shown once."""

    secret: str
    privsep: int = 1
    expire: int = 0
    comment: str = ""


@dataclass
class User:
    """`password` is a salted hash, or None for a user that can not log in. `expire` 0: never."""

    userid: str
    enable: int = 1
    expire: int = 0
    password: str | None = None
    firstname: str = ""
    lastname: str = ""
    email: str = ""
    comment: str = ""
    keys: str = ""
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass
class Group:
    groupid: str
    comment: str = ""
    users: set[str] = field(default_factory=set)


@dataclass
class Realm:
    realm: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class AclNode:
    """The entries of one path: for each user, group or token its roles with their propagate flags."""

    users: dict[str, dict[str, int]] = field(default_factory=dict)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    tokens: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Pool:
    """An id may be a member before its guest exists, and a storage too (facts.md section 11)."""

    poolid: str
    comment: str = ""
    vms: set[int] = field(default_factory=set)
    storages: set[str] = field(default_factory=set)


@dataclass
class Storage:
    """A definition of storage.cfg; `total` is the size in bytes that each node sees."""

    id: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)
    total: int = 1 << 40


@dataclass
class Volume:
    """Sizes in bytes. `node` is None on shared storages; `archive` is the inside of a backup; `disk` is how large a
    disk an image to be imported holds, where that is not its size."""

    volid: str
    storage: str
    node: str | None
    content: str
    format: str
    size: int
    vmid: int | None = None
    ctime: int = 0
    used: int = 0
    parent: str | None = None
    notes: str = ""
    protected: bool = False
    archive: dict[str, Any] | None = None
    disk: int = 0


@dataclass
class Snapshot:
    """`config` is the guest's configuration of that moment with snaptime, description, parent and vmstate."""

    name: str
    config: dict[str, str | int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass
class Guest:
    """A VM or container. Its lock, if any, is `config["lock"]`; `started_at` in seconds since the epoch."""

    vmid: int
    kind: str
    node: str
    config: dict[str, str | int] = field(default_factory=dict)
    pending: dict[str, str | int] = field(default_factory=dict)
    pending_delete: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    status: str = "stopped"
    paused: bool = False
    started_at: float | None = None
    template: bool = False
    agent: bool = False
    """A guest agent answers while the VM runs."""
    deaf: bool = False
    """It does not obey a shutdown."""
    address: str | None = None
    """A loopback address of its own, on which `port` listens once the guest has run for `boot_seconds`."""
    port: int | None = None
    boot_seconds: float = 1.0


@dataclass
class TaskRecord:
    """A task as the cluster remembers it. `user` is the owner, `tokenid` the token's name if one was used."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str
    tokenid: str | None = None
    status: str = "running"
    exitstatus: str | None = None
    endtime: int | None = None
    log: list[str] = field(default_factory=list)


@dataclass
class World:
    """One cluster. Volumes are kept under `NODE/VOLID`, those of shared storages under `/VOLID`."""

    cluster: Cluster
    local_node: str
    """The node as which the API answers."""
    nodes: dict[str, Node] = field(default_factory=dict)
    realms: dict[str, Realm] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    roles: dict[str, set[str]] = field(default_factory=dict)
    """The custom roles; the built-in ones are `app.lab.access.privileges.BUILT_IN`."""
    acl: dict[str, AclNode] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    guests: dict[int, Guest] = field(default_factory=dict)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    firewall: dict[str, Any] = field(default_factory=dict)
    backup_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    secret: str = ""
    """Hex; signs tickets and CSRF tokens."""
    clock_offset: float = 0.0
    stands_at: float | None = None
    """The moment at which the time stands still, in seconds since the epoch; None while it runs."""
    ticket_rounds: dict[str, int] = field(default_factory=dict)
    """How often the tickets of a user, or of all (``), were made worthless at once."""
    next_pid: int = 1000

    time_scale: float = field(default=0.0, metadata={"live": True})
    """PVE's own durations times this: 0 at once, 1 as PVE."""
    certificate: str = field(default="", metadata={"live": True})
    background: set["asyncio.Task[Any]"] = field(default_factory=set, metadata={"live": True})
    running: dict[str, Any] = field(default_factory=dict, metadata={"live": True})
    """The tasks at work, by UPID (`app.lab.tasks.Task`)."""
    consoles: dict[int, Any] = field(default_factory=dict, metadata={"live": True})
    """What waits for the websocket of a console, or has it, by port (`app.lab.consoles.proxies.Proxy`)."""
    displays: dict[int, Any] = field(default_factory=dict, metadata={"live": True})
    """What VMs show, by their ids (`app.lab.consoles.displays.Display`)."""
    insides: dict[int, Any] = field(default_factory=dict, metadata={"live": True})
    """What guest agents did inside their VMs, by the VMs' ids (`app.lab.guests.inside.Inside`)."""
    sleepers: set[Any] = field(default_factory=set, metadata={"live": True})
    locks: dict[str, Any] = field(default_factory=dict, metadata={"live": True})
    """Who holds what, by the names of locks (`app.lab.locks.Hold`)."""
    rights: dict[str, Any] = field(default_factory=dict, metadata={"live": True})
    """What is known of each identity's privileges since the last change (`app.lab.access.rights`)."""
    faults: Any = field(default=None, metadata={"live": True})

    def access_changed(self) -> None:
        """Users, groups, roles, ACLs, tokens or pools have changed: nothing computed of them counts any longer."""
        self.rights.clear()

    def forget_acl_path(self, path: str) -> None:
        """Drop all ACL entries of exactly this path."""
        self.acl.pop(path, None)
        self.access_changed()
