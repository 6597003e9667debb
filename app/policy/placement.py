"""Where a new guest goes: a pure table over what the inventory last saw."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.domain.errors import CapacityExceeded, Invalid
from app.domain.identifiers import NodeName, StorageId

GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True)
class NodeFacts:
    """Memory in bytes."""

    name: str
    online: bool
    cores: int
    memory: int
    memory_used: int


@dataclass(frozen=True)
class StorageFacts:
    """A storage on one node; sizes in bytes."""

    node: str
    name: str
    available: bool
    content: frozenset[str]
    free: int


@dataclass(frozen=True)
class Wanted:
    """`content` is what the storage must take (`rootdir`, `images`); `nodes` None means any node will do."""

    memory: int
    disk_gb: int
    content: str
    granted: frozenset[str]
    storage: StorageId | None = None
    nodes: Collection[str] | None = None


@dataclass(frozen=True)
class Place:
    node: NodeName
    storage: StorageId


def choose(wanted: Wanted, nodes: Sequence[NodeFacts], storages: Sequence[StorageFacts]) -> Place:
    """The node with the most free memory that has the medium and a granted storage with room; ties go by name.

    Raises Invalid where the named storage is not granted or does not take this content, CapacityExceeded where
    nothing has the room.
    """
    named = [s for s in storages if s.name in wanted.granted and wanted.content in s.content]
    if wanted.storage is not None:
        named = [s for s in named if s.name == wanted.storage]
        if not named:
            raise Invalid({"storage": ["is not a storage that you may use for this"]})
    usable = {n.name: n for n in nodes if n.online and (wanted.nodes is None or n.name in wanted.nodes)}
    fits = [
        (usable[s.node].memory - usable[s.node].memory_used, s.free, s)
        for s in named
        if s.available and s.node in usable and s.free >= wanted.disk_gb * GIB
        and usable[s.node].memory >= wanted.memory * MIB
    ]  # fmt: skip
    if not fits:
        raise CapacityExceeded(
            "No node has the room for this guest.", remedy="Ask for a smaller guest, or an administrator for more room."
        )
    _, _, best = min(fits, key=lambda fit: (-fit[0], -fit[1], fit[2].node, fit[2].name))
    return Place(NodeName(best.node), StorageId(best.name))
