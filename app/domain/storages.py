"""Storages and what lies on them, as a caller sees them. Sizes in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.domain.identifiers import MediaName


class Content(StrEnum):
    """What a storage holds, in PVE's words."""

    ISO = "iso"
    VZTMPL = "vztmpl"
    IMPORT = "import"
    BACKUP = "backup"
    IMAGES = "images"
    ROOTDIR = "rootdir"


#: What guests are made from: everybody may see it where the storage is granted to him.
MEDIA = (Content.ISO, Content.VZTMPL, Content.IMPORT)

_ENDINGS = {
    ".iso": Content.ISO,
    ".img": Content.ISO,
    ".qcow2": Content.IMPORT,
    ".raw": Content.IMPORT,
    ".vmdk": Content.IMPORT,
}


def content_of(name: MediaName) -> Content:
    """What a medium is, as PVE tells by the ending of its name; `import` are the disk images that VMs are made of."""
    return next((content for ending, content in _ENDINGS.items() if name.endswith(ending)), Content.VZTMPL)


#: Cluster id -> names of storages; None: all there are.
Granted = Mapping[str, frozenset[str]] | None


@dataclass(frozen=True)
class StorageFilter:
    cluster: str | None = None
    tenant: str | None = None
    content: str | None = None


@dataclass(frozen=True)
class StoragePlace:
    """A storage as one node has it."""

    node: str
    available: bool
    total: int
    used: int


@dataclass(frozen=True)
class Storage:
    """`id` is its name in its cluster. `total` and `used` are those of all its places, of a shared one those of one."""

    id: str
    cluster: str
    shared: bool
    available: bool
    content: Sequence[str]
    total: int
    used: int
    nodes: Sequence[StoragePlace]
    observed_at: datetime | None


@dataclass(frozen=True)
class ContentFilter:
    cluster: str | None = None
    tenant: str | None = None
    content: str | None = None
    node: str | None = None


@dataclass(frozen=True)
class Checksum:
    """`digest` in lower-case hexadecimal."""

    algorithm: str
    digest: str


@dataclass(frozen=True)
class Target:
    """Where a file is to go; `node` None: any that has the storage."""

    storage: str
    cluster: str | None = None
    node: str | None = None


@dataclass(frozen=True)
class Download:
    """A file at a URL, which may hold a secret and is shown nowhere."""

    url: str = field(repr=False)
    content: Content
    filename: MediaName
    checksum: Checksum | None


@dataclass(frozen=True)
class MediaRules:
    """`most` bytes of one file; `networks` may be downloaded from though they are not public."""

    most: int
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Upload:
    """A file on its way: `size` bytes come out of `chunks`, which can be read once."""

    content: Content
    filename: MediaName
    checksum: Checksum | None
    size: int
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class Volume:
    """`nodes` have it; `vmid` is that of its guest, whose `guest` and `tenant` are set where it is one of ours."""

    volid: str
    content: str
    format: str
    size: int
    nodes: Sequence[str]
    vmid: int | None
    guest: str | None
    tenant: str | None
    created_at: datetime | None
    notes: str
    protected: bool
