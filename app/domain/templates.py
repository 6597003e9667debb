"""The catalog: what guests may be made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.guests import GuestKind
from app.domain.identifiers import VmId, Volid
from app.domain.storages import Content


class TemplateCategory(StrEnum):
    OS = "os"
    APP = "app"
    DATABASE = "database"


@dataclass(frozen=True)
class Source:
    """What PVE has and a catalog entry may be made of: a container's archive, an ISO image or a disk image (`volid`),
    or a guest that is a template (`vmid`). `memory` MiB; `cores` and `memory` are what that guest has, and 1 and 512 of
    a medium. `disk_gb` of a disk image is its file's until it is measured."""

    kind: GuestKind
    name: str
    volid: Volid | None
    vmid: VmId | None
    cores: int
    memory: int
    disk_gb: int
    nodes: Sequence[str]

    @property
    def reference(self) -> str:
        """Names it among all sources of its cluster: its volid, or its vmid in digits."""
        return str(self.volid if self.volid is not None else self.vmid)


@dataclass(frozen=True)
class TemplateSpec:
    """A new entry; `cluster` None: the default one. Sizes that are left out are the source's."""

    reference: str
    name: str
    description: str = ""
    category: TemplateCategory = TemplateCategory.OS
    logo_url: str | None = None
    cores: int | None = None
    memory: int | None = None
    disk_gb: int | None = None
    published: bool = False
    cluster: str | None = None


@dataclass(frozen=True)
class Template:
    """A catalog entry. `cores`, `memory` (MiB), `disk_gb` are what it proposes; no guest of it has a smaller disk."""

    id: str
    name: str
    kind: str
    description: str
    category: str
    logo_url: str | None
    volid: str | None
    vmid: int | None
    cores: int
    memory: int
    disk_gb: int
    published: bool
    created_at: datetime

    @property
    def boots(self) -> bool:
        """Whether a VM of it has a system on its disk, and nobody needs to install one."""
        return self.vmid is not None or (self.volid is not None and Volid(self.volid).folder == Content.IMPORT)


@dataclass(frozen=True)
class FlavorSpec:
    """A named size. `memory` MiB."""

    name: str
    cores: int
    memory: int
    disk_gb: int
    description: str = ""


@dataclass(frozen=True)
class Flavor:
    id: str
    name: str
    cores: int
    memory: int
    disk_gb: int
    description: str
    created_at: datetime
