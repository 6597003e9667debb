"""Numbers of guests: from our span, never one that the cluster has, never too soon again (L36)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import guests
from app.db.models import Cluster, InventoryGuest, VmidClaim
from app.db.session import Database, Tx, now
from app.domain.errors import CapacityExceeded, Conflict, Invalid
from app.domain.identifiers import VmId
from tests.db import records

SPAN = range(100, 110)


def seen(tx: Tx, cluster: Cluster, vmid: int) -> None:
    tx.add(
        InventoryGuest(
            cluster_id=cluster.id, vmid=vmid, kind="vm", name="stranger", node="pve1", status="running", facts={}
        )
    )
    tx.flush()


def claim(tx: Tx, cluster: Cluster, guest: str = "g", wanted: int | None = None, span: range = SPAN) -> int:
    return guests.claim_vmid(tx, cluster.id, guest, span, VmId(wanted) if wanted is not None else None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ours=st.sets(st.integers(95, 115)),
    strangers=st.sets(st.integers(95, 115)),
    start=st.integers(96, 112),
    size=st.integers(1, 8),
)
def test_the_next_number_that_nobody_has(
    database: Database, ours: set[int], strangers: set[int], start: int, size: int
) -> None:
    span = range(start, start + size)
    free = [vmid for vmid in span if vmid not in ours | strangers]
    with database.begin() as tx:
        tx.execute(sa.delete(Cluster))
        cluster = records.cluster(tx)
        tx.add_all(VmidClaim(cluster_id=cluster.id, vmid=vmid, guest_id="other") for vmid in ours)
        for vmid in strangers:
            seen(tx, cluster, vmid)
        if free:
            following = max((vmid for vmid in ours if vmid in span), default=start - 1) + 1
            assert claim(tx, cluster, span=span) == (following if following in free else min(free))
        else:
            with pytest.raises(CapacityExceeded):
                claim(tx, cluster, span=span)


def test_a_freed_number_rests_before_it_is_given_again(database: Database) -> None:
    with database.begin() as tx:
        cluster = records.cluster(tx)
        tenant = records.tenant(tx, cluster)
        first = records.charged_guest(tx, tenant, SPAN)
        guests.remove(tx, first.id, rest=timedelta(hours=1))
    with database.begin() as tx:
        assert claim(tx, cluster) == 101
        with pytest.raises(Conflict) as refused:
            claim(tx, cluster, "wants it back", wanted=100)
        assert refused.value.code == "vmid.taken"
    with database.begin() as tx:
        tx.execute(sa.update(VmidClaim).where(VmidClaim.vmid == 100).values(free_at=now()))
        assert claim(tx, cluster, "later", wanted=100) == 100


def test_a_wanted_number_is_had_only_where_it_is_free(database: Database) -> None:
    with database.begin() as tx:
        cluster = records.cluster(tx)
        seen(tx, cluster, 103)
        assert claim(tx, cluster, "a", wanted=105) == 105
        for taken in (103, 105):
            with pytest.raises(Conflict) as refused:
                claim(tx, cluster, "b", wanted=taken)
            assert refused.value.code == "vmid.taken"


def test_clusters_have_numbers_of_their_own(database: Database) -> None:
    with database.begin() as tx:
        assert [claim(tx, records.cluster(tx, name)) for name in ("one", "two")] == [100, 100]


@pytest.mark.parametrize("wanted", [99, 100_000])
def test_l36_a_number_outside_our_range_is_not_ours_to_give(database: Database, wanted: int) -> None:
    with database.begin() as tx:
        cluster = records.cluster(tx)
        with pytest.raises(Invalid) as refused:
            claim(tx, cluster, wanted=wanted)
        assert "vmid" in refused.value.members["errors"]
