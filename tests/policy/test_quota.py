"""How much: what is refused, and with which figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import QuotaExceeded
from app.domain.quota import Dimension
from app.policy import quota

NOTHING = dict.fromkeys(Dimension, 0)

#: limits, used, demand -> the dimension that refuses, or None
DECISIONS = [
    ({}, {}, {"guests": 1_000_000}, None),
    ({"guests": 1}, {}, {"guests": 1}, None),
    ({"guests": 1}, {"guests": 1}, {"guests": 1}, "guests"),
    ({"guests": 0}, {}, {"guests": 1}, "guests"),
    ({"cores": 8}, {"cores": 6}, {"guests": 1, "cores": 2}, None),
    ({"cores": 8}, {"cores": 6}, {"guests": 1, "cores": 3}, "cores"),
    ({"cores": 8}, {"memory": 9}, {"cores": 8}, None),
    ({"cores": 8, "memory": 10}, {}, {"cores": 9, "memory": 11}, "cores"),
    ({"memory": 10, "disk_gb": 1}, {}, {"memory": 10, "disk_gb": 2}, "disk_gb"),
    # a limit below what is used stops growth, and nothing else
    ({"guests": 2}, {"guests": 5}, {"guests": 1}, "guests"),
    ({"guests": 2}, {"guests": 5}, {"guests": 0}, None),
    ({"guests": 2}, {"guests": 5}, {"guests": -1}, None),
    ({"guests": 2}, {"guests": 5}, {"cores": 4}, None),
    ({"cores": 1}, {"cores": 9}, {"cores": -4, "memory": 1}, None),
    # running use is a dimension of its own
    ({"running_cores": 2}, {"cores": 40}, {"cores": 4}, None),
    ({"running_cores": 2}, {"running_cores": 1}, {"running_cores": 2}, "running_cores"),
]


@pytest.mark.parametrize(("limits", "used", "demand", "refuses"), DECISIONS)
def test_decisions(
    limits: dict[Dimension, int], used: dict[Dimension, int], demand: dict[Dimension, int], refuses: str | None
) -> None:
    if refuses is None:
        quota.check(limits, used=NOTHING | used, demand=demand)
        return
    with pytest.raises(QuotaExceeded) as caught:
        quota.check(limits, used=NOTHING | used, demand=demand)
    assert caught.value.members["dimension"] == refuses


amounts = st.dictionaries(st.sampled_from(Dimension), st.integers(0, 10))


@given(limits=amounts, used=amounts, demand=st.dictionaries(st.sampled_from(Dimension), st.integers(-10, 10)))
def test_l33_growth_is_refused_exactly_where_it_would_pass_a_limit(
    limits: dict[Dimension, int], used: dict[Dimension, int], demand: dict[Dimension, int]
) -> None:
    have = NOTHING | used
    over = {d for d, asked in demand.items() if asked > 0 and d in limits and have[d] + asked > limits[d]}
    if not over:
        quota.check(limits, used=have, demand=demand, whose="user")
        return
    with pytest.raises(QuotaExceeded) as caught:
        quota.check(limits, used=have, demand=demand, whose="user")
    dimension = Dimension(caught.value.members["dimension"])
    assert dimension in over
    assert caught.value.members == {
        "dimension": dimension,
        "limit": limits[dimension],
        "used": have[dimension],
        "requested": demand[dimension],
        "whose": "user",
    }
    for figure in (limits[dimension], have[dimension], demand[dimension]):
        assert str(figure) in caught.value.detail


def test_l32_every_dimension_can_refuse() -> None:
    for dimension in Dimension:
        with pytest.raises(QuotaExceeded):
            quota.check({dimension: 0}, used=NOTHING, demand={dimension: 1})


def test_l35_a_stopped_guest_takes_nothing_that_runs() -> None:
    stopped = quota.of_guest(cores=2, memory=512, disk_gb=8)
    assert set(stopped).isdisjoint(quota.of_running(cores=2, memory=512))
    assert stopped == {"guests": 1, "cores": 2, "memory": 512, "disk_gb": 8, "networks": 1}
    assert quota.of_running(cores=2, memory=512) == {"running_cores": 2, "running_memory": 512}


def test_growth_is_what_is_missing_and_never_less_than_nothing() -> None:
    held = {Dimension.CORES: 2, Dimension.MEMORY: 512}
    wanted = {Dimension.CORES: 1, Dimension.MEMORY: 513, Dimension.DISK_GB: 3}
    assert quota.growth(held, wanted) == {Dimension.CORES: 0, Dimension.MEMORY: 1, Dimension.DISK_GB: 3}
