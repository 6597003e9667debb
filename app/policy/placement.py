"""Where a new guest goes, and why there: a pure table over what the inventory last saw.

A place is a storage on a node. First `_LIMITS`: what a place must be; one that is not is left out. Then `_RANKS`: which
of those that are left is best; each rank decides only among those that are equal in all before it, and names decide at
last. So the same inventory gives the same place, in whatever order it comes.

Tags attract and repel, and forbid nothing: a guest that cannot stand as far from others as it was asked for is made
all the same. The explanation tells no figures of a node, which are not a tenant's to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

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
class Neighbour:
    """A guest of the same tenant."""

    node: str
    tags: frozenset[str]


@dataclass(frozen=True)
class Wanted:
    """`memory` MiB, `disk_gb` GiB; `content` is what the storage must take (`rootdir`, `images`); `nodes` None: any
    will do. `first` is the storage that is rather taken than others; `affinity` and `anti_affinity` are tags of
    neighbours to be near to, and far from."""

    memory: int
    disk_gb: int
    content: str
    granted: frozenset[str]
    storage: StorageId | None = None
    nodes: Collection[str] | None = None
    first: str | None = None
    affinity: frozenset[str] = frozenset()
    anti_affinity: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reason:
    """`code` is stable; `text` is a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Rejected:
    """A place that was not taken; `storage` None: the node as a whole."""

    node: str
    storage: str | None
    reason: Reason


@dataclass(frozen=True)
class Place:
    """`reasons` say what spoke for it, the weightiest first; `rejected` why no other was taken, by node and storage.
    Only storages that are granted are named."""

    node: NodeName
    storage: StorageId
    reasons: tuple[Reason, ...] = field(default=(), compare=False)
    rejected: tuple[Rejected, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class _Candidate:
    node: NodeFacts
    storage: StorageFacts
    is_first: bool
    attracts: int
    repels: int

    @property
    def name(self) -> tuple[str, str]:
        return self.storage.node, self.storage.name


def choose(
    wanted: Wanted,
    nodes: Sequence[NodeFacts],
    storages: Sequence[StorageFacts],
    neighbours: Sequence[Neighbour] = (),
) -> Place:
    """The best place there is.

    Raises Invalid where the named storage is not granted or does not take this content, CapacityExceeded where
    nothing has the room.
    """
    granted = [one for one in storages if one.name in wanted.granted]
    if wanted.storage is not None and not any(
        one.name == wanted.storage and wanted.content in one.content for one in granted
    ):
        raise Invalid({"storage": ["is not a storage that you may use for this"]})
    by_name = {node.name: node for node in nodes}
    pull, push = _counted(neighbours, wanted.affinity), _counted(neighbours, wanted.anti_affinity)
    places = [
        _Candidate(by_name[one.node], one, one.name == wanted.first, pull[one.node], push[one.node])
        for one in granted
        if one.node in by_name
    ]
    left_out = {place.name: _first_limit(wanted, place) for place in places}
    fits = sorted((place for place in places if left_out[place.name] is None), key=_order)
    if not fits:
        raise CapacityExceeded(
            "No node has the room for this guest.", remedy="Ask for a smaller guest, or an administrator for more room."
        )
    best, *others = fits
    behind = {place.name: _decided_by(best, place) for place in others}
    rejected = [
        Rejected(place.storage.node, place.storage.name, left_out[place.name] or behind[place.name][1])
        for place in places
        if place is not best
    ]
    with_place = {place.storage.node for place in places}
    rejected += [Rejected(name, None, _NO_STORAGE) for name in by_name.keys() - with_place]
    spoke = {decided for decided, _ in behind.values()}
    return Place(
        NodeName(best.storage.node),
        StorageId(best.storage.name),
        tuple(rank.of_best for rank in _RANKS if rank.of_best in spoke) or (_ONLY,),
        tuple(sorted(rejected, key=lambda one: (one.node, one.storage or ""))),
    )


def _counted(neighbours: Sequence[Neighbour], tags: frozenset[str]) -> Counter[str]:
    """Node -> how many guests there have one of these tags."""
    return Counter(one.node for one in neighbours if not tags.isdisjoint(one.tags))


# -- what a place must be


_ONLY = Reason("only", "No other place will do.")
_NO_STORAGE = Reason("node.no_storage", "It has no storage that you may use.")

#: What is wrong with a place, the first of these that is.
_LIMITS: tuple[tuple[Reason, Callable[[Wanted, _Candidate], bool]], ...] = (
    (Reason("node.offline", "The node is offline."), lambda _, place: not place.node.online),
    (
        Reason("node.no_medium", "The node does not have what the guest is made from."),
        lambda wanted, place: wanted.nodes is not None and place.node.name not in wanted.nodes,
    ),
    (
        Reason("node.too_small", "The node has less memory than the guest is to have."),
        lambda wanted, place: place.node.memory < wanted.memory * MIB,
    ),
    (
        Reason("storage.content", "The storage takes no disks of such guests."),
        lambda wanted, place: wanted.content not in place.storage.content,
    ),
    (
        Reason("storage.not_asked_for", "Another storage was asked for."),
        lambda wanted, place: wanted.storage not in (None, place.storage.name),
    ),
    (Reason("storage.away", "The storage cannot be used there now."), lambda _, place: not place.storage.available),
    (
        Reason("storage.full", "The storage has not enough room there."),
        lambda wanted, place: place.storage.free < wanted.disk_gb * GIB,
    ),
)


def _first_limit(wanted: Wanted, place: _Candidate) -> Reason | None:
    return next((reason for reason, fails in _LIMITS if fails(wanted, place)), None)


# -- which is best


@dataclass(frozen=True)
class _Rank:
    """The least `weight` is the best."""

    of_best: Reason
    of_others: Reason
    weight: Callable[[_Candidate], int | tuple[str, str]]


_RANKS = (
    _Rank(
        Reason("storage.first", "The storage is the one that your plan names for guests."),
        Reason("storage.first", "Your plan names another storage for guests."),
        lambda place: not place.is_first,
    ),
    _Rank(
        Reason("anti_affinity", "The fewest of your guests to keep away from are there."),
        Reason("anti_affinity", "More of your guests to keep away from are there."),
        lambda place: place.repels,
    ),
    _Rank(
        Reason("affinity", "The most of your guests to be near to are there."),
        Reason("affinity", "Fewer of your guests to be near to are there."),
        lambda place: -place.attracts,
    ),
    _Rank(
        Reason("memory", "The node has the most free memory."),
        Reason("memory", "The node has less free memory."),
        lambda place: place.node.memory_used - place.node.memory,
    ),
    _Rank(
        Reason("room", "The storage has the most room."),
        Reason("room", "The storage has less room."),
        lambda place: -place.storage.free,
    ),
    _Rank(
        Reason("name", "It is the first by name of those that are equal."),
        Reason("name", "It is equal, and later by name."),
        lambda place: place.name,
    ),
)


def _order(place: _Candidate) -> tuple[int | tuple[str, str], ...]:
    return tuple(rank.weight(place) for rank in _RANKS)


def _decided_by(best: _Candidate, other: _Candidate) -> tuple[Reason, Reason]:
    """What spoke for the best one and against the other."""
    rank = next(rank for rank in _RANKS if rank.weight(best) != rank.weight(other))
    return rank.of_best, rank.of_others
