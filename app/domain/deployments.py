"""A guest out of the catalog, in one request."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.domain.guests import Network, Placement
from app.domain.identifiers import GuestName, StorageId, Tag
from app.domain.operations import Operation


@dataclass(frozen=True)
class DeploymentSpec:
    """`template` is an id or name of the catalog. Sizes: what is given, else the flavor's, else the template's;
    `memory` MiB. Without `ssh_keys` and `password` a password is made."""

    template: str
    name: GuestName
    flavor: str | None = None
    cores: int | None = None
    memory: int | None = None
    disk_gb: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    ssh_keys: tuple[str, ...] = ()
    storage: StorageId | None = None
    net: Network = field(default_factory=Network)
    tags: tuple[Tag, ...] = ()
    start: bool = True
    onboot: bool = False
    placement: Placement = field(default_factory=Placement)


@dataclass(frozen=True)
class Deployed:
    """`password` is the one that was made: nobody is told it again."""

    operation: Operation
    password: str | None = field(default=None, repr=False)
