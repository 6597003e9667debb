"""Placement as a pure table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import CapacityExceeded, Invalid
from app.domain.identifiers import StorageId
from app.policy.placement import GIB, MIB, Neighbour, NodeFacts, Place, StorageFacts, Wanted, choose

NODES = [
    NodeFacts("n1", True, 4, 8 * GIB, 6 * GIB),
    NodeFacts("n2", True, 4, 8 * GIB, 2 * GIB),
    NodeFacts("n3", False, 64, 512 * GIB, 0),
]
STORAGES = [
    StorageFacts(node, name, True, frozenset(content), free * GIB)
    for node, name, content, free in (
        ("n1", "lvm", {"rootdir", "images"}, 100),
        ("n2", "lvm", {"rootdir", "images"}, 10),
        ("n3", "lvm", {"rootdir", "images"}, 900),
        ("n1", "local", {"iso", "vztmpl"}, 900),
        ("n2", "secret", {"rootdir"}, 900),
    )
]


def wanted(memory: int = 512, disk_gb: int = 8, **more: object) -> Wanted:
    return Wanted(memory, disk_gb, "rootdir", frozenset({"lvm", "local"}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "node"),
    [
        (wanted(), "n2"),
        (wanted(disk_gb=50), "n1"),
        (wanted(nodes={"n1"}), "n1"),
        (wanted(storage=StorageId("lvm")), "n2"),
    ],
    ids=["most free memory", "where the disk fits", "where the medium is", "named storage"],
)
def test_goes_where_there_is_room(asked: Wanted, node: str) -> None:
    place = choose(asked, NODES, STORAGES)
    assert (place.node, place.storage) == (node, "lvm")


def test_the_first_storage_is_taken_where_it_fits_and_has_room() -> None:
    two = [*STORAGES, StorageFacts("n1", "first", True, frozenset({"rootdir"}), 20 * GIB)]
    asked = {"granted": frozenset({"lvm", "first"}), "first": "first"}
    for disk_gb, storage in ((8, "first"), (50, "lvm")):
        place = choose(Wanted(512, disk_gb, "rootdir", **asked), NODES, two)  # type: ignore[arg-type]
        assert place.storage == storage
    place = choose(Wanted(512, 8, "rootdir", **asked), NODES, two)  # type: ignore[arg-type]
    assert [reason.code for reason in place.reasons] == ["storage.first"]


@pytest.mark.parametrize("asked", [wanted(disk_gb=200), wanted(memory=9000), wanted(nodes={"n3"}), wanted(nodes=())])
def test_no_room_is_told(asked: Wanted) -> None:
    with pytest.raises(CapacityExceeded):
        choose(asked, NODES, STORAGES)


@pytest.mark.parametrize("name", ["secret", "missing", "local"])
def test_a_storage_that_is_not_granted_or_does_not_fit_looks_missing(name: str) -> None:
    """L14."""
    with pytest.raises(Invalid) as refused:
        choose(wanted(storage=StorageId(name)), NODES, STORAGES)
    assert refused.value.members["errors"] == {"storage": ["is not a storage that you may use for this"]}


# -- near to and far from the tenant's other guests

EQUAL = [NodeFacts(name, True, 4, 8 * GIB, GIB) for name in ("n1", "n2", "n3")]
ON_EACH = [StorageFacts(node.name, "lvm", True, frozenset({"rootdir"}), 100 * GIB) for node in EQUAL]


def on(**tags: str) -> list[Neighbour]:
    """A neighbour for each word: `n1="web db"`."""
    return [Neighbour(node, frozenset({word})) for node, words in tags.items() for word in words.split()]


@pytest.mark.parametrize(
    ("near", "far", "neighbours", "node"),
    [
        ("", "", on(n3="web web"), "n1"),
        ("web", "", on(n3="web", n2="db db"), "n3"),
        ("web", "", on(n2="web web", n3="web"), "n2"),
        ("", "web", on(n1="web"), "n2"),
        ("", "web", on(n1="web", n2="web", n3="web db"), "n1"),
        ("", "web", on(n1="web web", n2="web", n3="web web"), "n2"),
        ("db", "web", on(n1="db web", n2="web", n3="web db"), "n1"),
        ("db", "web", on(n1="db web", n2="db"), "n2"),
        ("web", "web", on(n1="web"), "n2"),
    ],
    ids=[
        "tags alone do nothing", "near to one", "near to most", "far from one", "no node without one", "fewest",
        "near among equals", "both at once", "far goes before near",
    ],
)  # fmt: skip
def test_tags_attract_and_repel(near: str, far: str, neighbours: list[Neighbour], node: str) -> None:
    asked = wanted(affinity=frozenset(near.split()), anti_affinity=frozenset(far.split()))
    assert choose(asked, EQUAL, ON_EACH, neighbours).node == node


def test_tags_go_before_memory_and_never_before_room() -> None:
    near_full = wanted(disk_gb=50, affinity=frozenset({"web"}))
    assert choose(near_full, NODES, STORAGES, on(n2="web")).node == "n1", "n2 has no room for the disk"
    assert choose(wanted(affinity=frozenset({"web"})), NODES, STORAGES, on(n1="web")).node == "n1"
    alone = wanted(nodes={"n1"}, anti_affinity=frozenset({"web"}))
    assert choose(alone, NODES, STORAGES, on(n1="web web")).node == "n1", "tags forbid nothing"


# -- why


def why(place: Place) -> tuple[list[str], dict[str, str]]:
    """The codes: for the place, and against each other one."""
    rejected = {f"{one.node}/{one.storage}": one.reason.code for one in place.rejected}
    return [reason.code for reason in place.reasons], rejected


@pytest.mark.parametrize(
    ("asked", "reasons", "against"),
    [
        (wanted(), ["memory"], {"n1/lvm": "memory"}),
        (wanted(disk_gb=50), ["only"], {"n2/lvm": "storage.full"}),
        (wanted(nodes={"n1"}), ["only"], {"n2/lvm": "node.no_medium"}),
        (wanted(affinity=frozenset({"web"})), ["affinity"], {"n2/lvm": "affinity"}),
        (wanted(anti_affinity=frozenset({"db"})), ["anti_affinity"], {"n1/lvm": "anti_affinity"}),
    ],
    ids=["memory", "room", "medium", "near", "far"],
)
def test_each_place_that_was_not_taken_has_its_reason(
    asked: Wanted, reasons: list[str], against: dict[str, str]
) -> None:
    place = choose(asked, NODES, STORAGES, on(n1="web db"))
    assert why(place) == (reasons, {"n1/local": "storage.content", "n3/lvm": "node.offline", **against})


def test_what_is_not_granted_is_not_even_named() -> None:
    """L14, L43: an explanation must not tell of other tenants' storages, nor of a node's figures."""
    told = repr(choose(wanted(), NODES, STORAGES).rejected)
    assert "secret" not in told
    assert not any(figure in told for figure in ("8192", "512", str(8 * GIB)))


def test_a_storage_can_be_away_unasked_for_or_worse_and_a_node_without_any() -> None:
    storages = [
        StorageFacts("n1", "away", False, frozenset({"rootdir"}), 900 * GIB),
        StorageFacts("n1", "big", True, frozenset({"rootdir"}), 90 * GIB),
        StorageFacts("n1", "less", True, frozenset({"rootdir"}), 80 * GIB),
        StorageFacts("n1", "same", True, frozenset({"rootdir"}), 90 * GIB),
    ]
    asked = Wanted(512, 8, "rootdir", frozenset({"away", "big", "less", "same"}))
    assert why(choose(asked, EQUAL[:2], storages)) == (
        ["room", "name"],
        {"n1/away": "storage.away", "n1/less": "room", "n1/same": "name", "n2/None": "node.no_storage"},
    )
    named = Wanted(512, 8, "rootdir", asked.granted, storage=StorageId("less"))
    assert why(choose(named, EQUAL[:1], storages))[1]["n1/big"] == "storage.not_asked_for"
    assert why(choose(wanted(memory=9000), [*EQUAL[:1], NodeFacts("n2", True, 4, 16 * GIB, 0)], ON_EACH[:2]))[1] == {
        "n1/lvm": "node.too_small"
    }


# -- whatever there is

_NAMES = st.sampled_from(["n1", "n2", "n3", "n4"])
_TAGS = st.frozensets(st.sampled_from(["web", "db", "x"]), max_size=2)
_SIZES = st.integers(0, 4).map(lambda gib: gib * GIB)
_NODES = st.lists(
    st.builds(NodeFacts, _NAMES, st.booleans(), st.just(4), _SIZES, _SIZES), unique_by=lambda one: one.name
)
_STORAGES = st.lists(
    st.builds(
        StorageFacts, _NAMES, st.sampled_from(["a", "b", "secret"]), st.booleans(),
        st.sampled_from([frozenset({"images"}), frozenset({"iso"})]), _SIZES,
    ),
    unique_by=lambda one: (one.node, one.name),
)  # fmt: skip
_WANTED = st.builds(
    Wanted, st.integers(0, 4096), st.integers(0, 4), st.just("images"), st.just(frozenset({"a", "b"})),
    nodes=st.none() | st.frozensets(_NAMES), affinity=_TAGS, anti_affinity=_TAGS,
)  # fmt: skip
_NEIGHBOURS = st.lists(st.builds(Neighbour, _NAMES, _TAGS), max_size=8)


def chosen(
    asked: Wanted, nodes: Sequence[NodeFacts], storages: Sequence[StorageFacts], neighbours: Sequence[Neighbour]
) -> Place | None:
    try:
        return choose(asked, nodes, storages, neighbours)
    except CapacityExceeded:
        return None


@given(_WANTED, _NODES, _STORAGES, _NEIGHBOURS)
def test_a_place_has_the_room_and_all_others_a_reason(
    asked: Wanted, nodes: Sequence[NodeFacts], storages: Sequence[StorageFacts], neighbours: Sequence[Neighbour]
) -> None:
    known = {node.name: node for node in nodes}
    places = {(one.node, one.name) for one in storages if one.name in asked.granted and one.node in known}
    fits = {
        (one.node, one.name)
        for one in storages
        if (one.node, one.name) in places and one.available and asked.content in one.content
        and one.free >= asked.disk_gb * GIB and known[one.node].online
        and known[one.node].memory >= asked.memory * MIB and (asked.nodes is None or one.node in asked.nodes)
    }  # fmt: skip
    place = chosen(asked, nodes, storages, neighbours)
    if place is None:
        assert fits == set()
        return
    assert (place.node, place.storage) in fits
    told = [(one.node, one.storage) for one in place.rejected]
    without = {(name, None) for name in known.keys() - {node for node, _ in places}}
    assert sorted(told, key=str) == sorted({*places, *without} - {(place.node, place.storage)}, key=str)
    assert place.reasons


@given(_WANTED, _NODES, _STORAGES, _NEIGHBOURS, st.data())
def test_the_answer_does_not_depend_on_the_order_of_the_inventory_nor_on_tags_that_nobody_named(
    asked: Wanted, nodes: Sequence[NodeFacts], storages: Sequence[StorageFacts], neighbours: Sequence[Neighbour],
    data: st.DataObject,
) -> None:  # fmt: skip
    named = asked.affinity | asked.anti_affinity
    fewer = [one for one in data.draw(st.permutations(neighbours)) if one.tags & named]
    others = data.draw(st.permutations(nodes)), data.draw(st.permutations(storages))
    first, again = chosen(asked, nodes, storages, neighbours), chosen(asked, *others, fewer)
    assert repr(first) == repr(again)
