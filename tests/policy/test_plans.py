"""What plans let somebody name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from app.policy.plans import flavors


@pytest.mark.parametrize(
    ("of_group", "of_tenants", "allowed"),
    [
        (None, [], None),
        (None, [None], None),
        (None, [None, ["a"]], None),
        (None, [["a"]], {"a"}),
        (None, [["a"], ["b"]], {"a", "b"}),
        (None, [[]], set()),
        (["a", "c"], [], {"a", "c"}),
        (["a", "c"], [None, ["b"]], {"a", "c"}),
        (["a", "c"], [["a"], ["b"]], {"a"}),
        ([], [None], set()),
    ],
)
def test_flavors_of_somebody(
    of_group: Collection[str] | None, of_tenants: Sequence[Collection[str] | None], allowed: set[str] | None
) -> None:
    assert flavors(of_group, of_tenants) == allowed
