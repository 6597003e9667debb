"""What becomes of names and comments between writing and reading: `user.cfg` has lines, colons and percent signs."""

from __future__ import annotations

import pytest

from tests.lab.process import Session


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("plain", "plain"),
        ("  blanks around  ", "blanks around"),
        ("two: colons: inside", "two: colons: inside"),
        ("100%25 sure", "100% sure"),
        ("50% off", "50% off"),
        ("ü\nsecond line", "ü\nsecond line"),
        ("0", None),
        ("", None),
    ],
)
def test_a_comment_is_read_as_the_file_keeps_it(root: Session, written: str, read: str | None) -> None:
    root.ok("POST", "/access/users", userid="alice@pve", comment=written, firstname=written)
    root.ok("POST", "/access/groups", groupid="g", comment=written)
    root.ok("POST", "/pools", poolid="p", comment=written)
    user = root.ok("GET", "/access/users/alice@pve")
    assert (user.get("comment"), user.get("firstname")) == (read, read)
    assert root.ok("GET", "/access/groups/g").get("comment") == read
    assert root.ok("GET", "/pools/p").get("comment") == read


def test_a_token_keeps_its_comment_when_an_empty_one_is_given(root: Session) -> None:
    path = "/access/users/alice@pve/token/tok"
    root.ok("POST", "/access/users", userid="alice@pve")
    assert root.ok("POST", path, comment="")["info"] == {"privsep": 1}
    assert root.ok("PUT", path, comment="first")["comment"] == "first"
    assert root.ok("PUT", path, comment="") == {"comment": "first", "expire": 0, "privsep": 1}


def test_a_token_loses_what_is_deleted(root: Session) -> None:
    path = "/access/users/root@pam/token/t1"
    root.ok("POST", path, comment="c", expire=4_000_000_000, privsep=0)
    root.ok("PUT", path, delete="comment,expire")
    assert root.ok("GET", path) == {"privsep": 0, "expire": 0}
    root.ok("PUT", path, delete="privsep")
    assert root.ok("GET", path)["privsep"] == 1
