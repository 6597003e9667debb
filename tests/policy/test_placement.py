"""Placement as a pure table."""

from __future__ import annotations

import pytest

from app.domain.errors import CapacityExceeded, Invalid
from app.domain.identifiers import StorageId
from app.policy.placement import GIB, NodeFacts, StorageFacts, Wanted, choose

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


def test_the_answer_does_not_depend_on_the_order_of_the_inventory() -> None:
    assert choose(wanted(), NODES, STORAGES) == choose(wanted(), NODES[::-1], STORAGES[::-1])
