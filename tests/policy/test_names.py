"""Names of users and tenants, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Invalid
from app.domain.tenants import canonical_name
from app.policy import names

UUID = "5c469a1b-469e-48a5-af74-81552079bbaa"
GOOD = {
    "maria": "maria",
    " Maria  Silva ": "Maria Silva",
    "maria.silva@example.org": "maria.silva@example.org",
    "ﬁona": "fiona",
    "Ünal_2": "Ünal_2",
    "李小龍": "李小龍",
    "हिन्दी": "हिन्दी",
    "Пётр": "Пётр",
    "Ayşe Yıldız": "Ayşe Yıldız",
    "ひらカタ漢字 Tokyo": "ひらカタ漢字 Tokyo",
    "x": "x",
    "a" * 64: "a" * 64,
}
BAD = [
    "", " ", "a" * 65, "._-@ ", "a/b", "a:b", "a!b", "a\0b", "a\u200bb", "a\u202eb", "\ud800", "a'b", "a;b", "a*b",
    "аdmin", "admіn", "αdmin", "ɑdmin", "ad\u034fmin", "admin\ufe0f", "admin\u3164", "сосо", "νο", "Иван x",
    "a(b", "ß" * 64, "ﷺ" * 8, UUID, UUID.replace("-", ""), f"{{{UUID}}}",
]  # fmt: skip


@pytest.mark.parametrize(("typed", "shown"), GOOD.items())
def test_good_names(typed: str, shown: str) -> None:
    assert names.username(typed) == shown


@pytest.mark.parametrize("typed", BAD)
def test_bad_names(typed: str) -> None:
    with pytest.raises(Invalid) as caught:
        names.username(typed)
    assert set(caught.value.members["errors"]) == {"username"}


@pytest.mark.parametrize(
    "typed", ["ACME & Co. (Lisbon)", "Überführung #2", "株式会社 x", "Пётр и друзья!", "🏠 house", "100% + 1"]
)
def test_a_tenant_is_named_with_any_signs(typed: str) -> None:
    assert names.tenant_name(f" {typed}  ") == typed


@pytest.mark.parametrize(
    "typed",
    ["", "  ", "a/b", "..", ".", "a" * 65, "Аcme", "acme\u200b", "\u202eemca", "acme\u2060", "a\u00adcme", "acme\ufe0f",
     "сосо", UUID, "\u2066a", "a\0"],
)  # fmt: skip
def test_texts_that_name_no_tenant(typed: str) -> None:
    with pytest.raises(Invalid) as caught:
        names.tenant_name(typed)
    assert set(caught.value.members["errors"]) == {"name"}


@pytest.mark.parametrize(
    ("one", "other"), [("Yıldız", "yildiz"), ("İstanbul", "istanbul"), ("\u03aa\u0301", "\u0390"), ("ﬁ", "FI")]
)
def test_names_that_are_one(one: str, other: str) -> None:
    assert canonical_name(one) == canonical_name(other)


@given(st.text(max_size=80))
def test_folding_twice_changes_nothing(name: str) -> None:
    assert canonical_name(canonical_name(name)) == canonical_name(name)


@given(st.text(alphabet="adminаіɑıορ οаd\u200b\ufe0f", min_size=1, max_size=12))
def test_nothing_passes_for_another_name(typed: str) -> None:
    """What is accepted of ASCII letters and those that look like them is ASCII once it is folded."""
    for parse in (names.username, names.tenant_name):
        try:
            shown = parse(typed)
        except Invalid:
            continue
        assert canonical_name(shown).isascii()
