"""Names of users, as a table."""

from __future__ import annotations

import uuid

import pytest

from app.domain.errors import Invalid
from app.policy import usernames

GOOD = {
    "maria": "maria",
    " Maria  Silva ": "Maria Silva",
    "maria.silva@example.org": "maria.silva@example.org",
    "ﬁona": "fiona",
    "Ünal_2": "Ünal_2",
    "李小龍": "李小龍",
    "हिन्दी": "हिन्दी",
    "x": "x",
    "a" * 64: "a" * 64,
}
BAD = [
    "", " ", "a" * 65, "._-@ ", "a/b", "a:b", "a!b", "a\0b", "a\u200bb", "a\u202eb", "\ud800", "a'b", "a;b", "a*b",
    "a(b", "ß" * 64, "ﷺ" * 8, str(uuid.uuid4()), uuid.uuid4().hex, f"{{{uuid.uuid4()}}}",
]  # fmt: skip


@pytest.mark.parametrize(("typed", "shown"), GOOD.items())
def test_good_names(typed: str, shown: str) -> None:
    assert usernames.parse(typed) == shown


@pytest.mark.parametrize("typed", BAD)
def test_bad_names(typed: str) -> None:
    with pytest.raises(Invalid) as caught:
        usernames.parse(typed)
    assert set(caught.value.members["errors"]) == {"username"}
