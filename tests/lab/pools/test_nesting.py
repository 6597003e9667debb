"""Pools within pools: their ACLs, and what keeps them from being removed."""

from __future__ import annotations

import pytest

from tests.lab.process import Session


def _paths(root: Session) -> list[str]:
    return sorted(entry["path"] for entry in root.ok("GET", "/access/acl"))


def test_the_acl_of_a_nested_pool_outlives_it_until_its_parent_goes(root: Session) -> None:
    root.ok("POST", "/access/users", userid="alice@pve")
    for poolid in ("a", "a/b"):
        root.ok("POST", "/pools", poolid=poolid)
    for path in ("/pool", "/pool/a", "/pool/a/b"):
        root.ok("PUT", "/access/acl", path=path, users="alice@pve", roles="PVEPoolUser")
    root.ok("DELETE", "/pools", poolid="a/b")
    assert _paths(root) == ["/pool", "/pool/a", "/pool/a/b"]
    root.ok("DELETE", "/pools", poolid="a")
    assert _paths(root) == ["/pool"]


def test_a_pool_names_the_first_of_what_it_contains(root: Session) -> None:
    for poolid in ("a", "a/z", "a/z/deep", "a/b"):
        root.ok("POST", "/pools", poolid=poolid)
    refused = root.refused("DELETE", "/pools", poolid="a")
    assert refused == (500, "delete pool failed: pool 'a' is not empty (contains pool 'a/b')")


@pytest.mark.parametrize(
    ("poolid", "text"),
    [
        ("a/b/c/d", "pool name 'a/b/c/d' nested too deeply (max levels = 3)"),
        ("a/b/", "pool name 'a/b/' contains invalid characters"),
        ("/a", "pool name '/a' contains invalid characters"),
        ("a b", "pool name 'a b' contains invalid characters"),
    ],
)
def test_pools_nest_three_deep(root: Session, poolid: str, text: str) -> None:
    answer = root.call("POST", "/pools", poolid=poolid)
    assert answer.json()["errors"] == {"poolid": f"invalid format - {text}\n"}
