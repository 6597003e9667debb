"""The local hypervisor: what its host is, and its catalog of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class LocalHost:
    """As the worker last saw it. `memory` and `free_memory` MiB; `accelerator` has `type` and `reason`; `interfaces`
    have `name`, `up` and `mac`."""

    hypervisor: str
    library: str
    accelerator: Mapping[str, str]
    cores: int
    cpu: str
    memory: int
    free_memory: int
    cpu_models: Sequence[str]
    features: Sequence[str]
    bridges: Sequence[str]
    interfaces: Sequence[Mapping[str, Any]]
    observed_at: datetime


@dataclass(frozen=True)
class Trouble:
    """Why the local hypervisor cannot be used, and what mends that."""

    code: str
    detail: str
    remedy: str | None


@dataclass(frozen=True)
class Image:
    """Of the catalog. `kind` is qcow2, raw or iso; `size` and `virtual_size` (what a guest sees) bytes; `sha256` of the
    file in hexadecimal; `tenant` None: everybody's; `created_by` a user's id."""

    id: str
    name: str
    kind: str
    tenant: str | None
    size: int
    virtual_size: int
    sha256: str
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class ImageFilter:
    """`name` is a part of it."""

    kind: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class ImageUpload:
    """A file on its way: `chunks` can be read once. `kind` None: by its marks; `tenant` an id or a name, None: whose
    it is goes without saying."""

    name: str
    kind: str | None
    tenant: str | None
    sha256: str | None
    chunks: Iterator[bytes]
