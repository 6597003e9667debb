"""Pages: every row once, in order, whatever is added meanwhile; a cursor is nobody's way in."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.db import guests, paging
from app.db.models import Cluster, Guest, Tenant
from app.db.session import Database, Tx
from app.domain.access import EVERY_TENANT, TenantScope
from app.domain.errors import Invalid
from app.domain.guests import GuestKind
from app.domain.paging import PageRequest
from tests.db import records

COLUMNS = {"name": Guest.name, "cores": Guest.cores, "created_at": Guest.created_at, "vmid": Guest.vmid}


@pytest.fixture
def tenant(database: Database) -> Tenant:
    with database.begin() as tx:
        return records.tenant(tx, records.cluster(tx))


def walk(tx: Tx, sort: str, limit: int) -> list[str]:
    found: list[str] = []
    request = PageRequest(limit=limit, sort=sort)
    while True:
        page = paging.page(tx, sa.select(Guest), columns=COLUMNS, key=Guest.id, default_sort="name", request=request)
        assert page.count == (tx.scalar(sa.select(sa.func.count()).select_from(Guest)) or 0)
        assert len(page.data) <= limit
        found.extend(row.id for row in page.data)
        if page.next is None:
            return found
        request = PageRequest(limit=limit, sort=sort, cursor=page.next)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cores=st.lists(st.integers(1, 3), max_size=12),
    limit=st.integers(1, 7),
    column=st.sampled_from(sorted(COLUMNS)),
    descending=st.booleans(),
)
def test_every_row_comes_once_and_in_order(
    database: Database, tenant: Tenant, cores: list[int], limit: int, column: str, descending: bool
) -> None:
    with database.begin() as tx:
        tx.execute(sa.delete(Guest))
        rows = [records.guest(tx, tenant, 100 + n, cores=c, name=f"n{c}") for n, c in enumerate(cores)]
        expected = sorted(rows, key=lambda row: (getattr(row, column), row.id), reverse=descending)
        assert walk(tx, f"-{column}" if descending else column, limit) == [row.id for row in expected]


def test_a_page_goes_on_where_it_was_though_rows_came_and_went(database: Database, tenant: Tenant) -> None:
    with database.begin() as tx:
        rows = [records.guest(tx, tenant, vmid) for vmid in (110, 120, 130, 140)]
        first = guests.page(tx, EVERY_TENANT, GuestKind.CT, {}, PageRequest(limit=2, sort="vmid"))
        records.guest(tx, tenant, 105)
        tx.delete(rows[1])
        tx.flush()
        rest = guests.page(tx, EVERY_TENANT, GuestKind.CT, {}, PageRequest(limit=9, sort="vmid", cursor=first.next))
    assert [orjson.loads(one)["vmid"] for one in (*first.data, *rest.data)] == [110, 120, 130, 140]


def test_l17_a_list_and_its_count_are_the_scopes_own(database: Database, tenant: Tenant) -> None:
    with database.begin() as tx:
        other = records.tenant(tx, tx.scalars(sa.select(Cluster)).one(), "other")
        records.guest(tx, tenant, 100)
        records.guest(tx, other, 101)
        page = guests.page(tx, TenantScope(frozenset()), GuestKind.CT, {}, PageRequest())
        assert (list(page.data), page.count, page.next) == ([], 0, None)
        page = guests.page(tx, TenantScope(frozenset({tenant.id})), GuestKind.CT, {}, PageRequest())
        assert page.count == 1


def test_the_listed_document_is_the_one_of_the_guest(database: Database, tenant: Tenant) -> None:
    with database.begin() as tx:
        row = records.guest(tx, tenant, 100)
        row.state, row.tags = "running", ["büro", 'quo"te']
        tx.flush()
        (listed,) = guests.page(tx, EVERY_TENANT, GuestKind.CT, {}, PageRequest()).data
        assert orjson.loads(listed) == guests.document(tx, row)
        assert orjson.loads(listed)["tags"] == ["büro", 'quo"te']


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(parts))).decode().rstrip("=")


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [
        ("name", "%%%"),
        ("name", "bm90IGpzb24"),
        ("name", forged()),
        ("name", forged("name", "a")),
        ("name", forged("cores", 1, "id")),
        ("name", forged("name", 1, "id")),
        ("name", forged("name", "a", 1)),
        ("name", forged("name", "a\0", "id")),
        ("name", forged("name", "a", "id\0")),
        ("cores", forged("cores", True, "id")),
        ("cores", forged("cores", 2**64 - 1, "id")),
        ("cores", forged("cores", 2**40, "id")),
        ("created_at", forged("created_at", "yesterday", "id")),
        ("created_at", forged("created_at", "0001-01-01T00:00:00+14:00", "id")),
        ("created_at", forged("created_at", "2026-01-01T00:00:00", "id")),
        ("-name", "x" * 100_000),
    ],
)
def test_l102_a_forged_cursor_is_invalid_or_harmless(
    database: Database, tenant: Tenant, sort: str, cursor: str
) -> None:
    """422 or a page, never a fault of the database's."""
    with database.begin() as tx:
        records.guest(tx, tenant, 100)
    with suppress(Invalid), database.read() as tx:
        guests.page(tx, EVERY_TENANT, GuestKind.CT, {}, PageRequest(sort=sort, cursor=cursor))


@pytest.mark.parametrize("sort", ["", "-", "--name", "password", "document", "name;", "NAME"])
def test_l104_an_unknown_sort_is_refused(database: Database, sort: str) -> None:
    with database.read() as tx, pytest.raises(Invalid):
        paging.page(
            tx, sa.select(Guest), columns=COLUMNS, key=Guest.id, default_sort="nothing", request=PageRequest(sort=sort)
        )


@pytest.mark.parametrize("text", ["\0", "%", "_", "'", '"', "\\", "ä", "a" * 10_000])
@pytest.mark.parametrize("field", ["name", "tag", "node", "state", "tenant"])
def test_l102_a_filters_text_is_only_text(database: Database, tenant: Tenant, field: str, text: str) -> None:
    """No text matches by being a pattern, and one that a database cannot hold is Invalid or matches nothing."""
    nothing = dict.fromkeys(("name", "tag", "node", "state", "tenant", "template", "unprivileged"))
    with database.begin() as tx:
        records.guest(tx, tenant, 100, name="plain")
    with suppress(Invalid), database.read() as tx:
        conditions = guests.narrowed(**{**nothing, field: text})  # type: ignore[arg-type]
        page = guests.page(tx, EVERY_TENANT, GuestKind.CT, conditions, PageRequest())
        assert page.count == 0 or text == "\0"
