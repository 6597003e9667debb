"""Generated from the OpenAPI document: every operation by every kind of caller, every id swapped for a foreign one.

A new route is covered the moment it stands in the document. `table` says what its ids mean; an id that it does not know
fails a test, so that nobody forgets to say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from app.db.models import Table
from app.db.session import Database
from tests.house import Caller, House, container, vm
from tests.isolation import scenes as making
from tests.isolation import table
from tests.isolation.document import Field, Route, fields_of, routes, with_value
from tests.isolation.scenes import Scene, Scenes

ROUTES = routes()
GUARDED = [route for route in ROUTES if str(route) not in table.PUBLIC]
OTHERS = [route for route in GUARDED if str(route) not in table.OWN]
REFUSED = (403, 404, 422)
_SAME_ID = "isolation-request"


@pytest.fixture(scope="module")
def scenes(house: House) -> Iterator[Scenes]:
    with making.made(house) as found:
        yield found


@pytest.fixture(scope="module")
def db(house: House) -> Iterator[Database]:
    database = Database(house.settings.database_url)
    yield database
    database.close()


@pytest.fixture
def unharmed(house: House, db: Database, scenes: Scenes) -> Iterator[None]:
    """Whatever is tried in this test: nothing is written to PVE, and the victim stays as it was."""
    mark, was = house.pve.mark(), picture(db, scenes.victim)
    yield
    assert house.pve.writes(mark) == []
    assert picture(db, scenes.victim) == was


def picture(db: Database, victim: Scene) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the victim in all tables, whichever there are; the audit log also tells what was refused."""
    tenant, user = victim.tenant["id"], victim.ids["users"][0]
    found = {}
    with db.read() as tx:
        for table_name, rows in Table.metadata.tables.items():
            named = {"tenant_id": tenant, "tenant": tenant, "user_id": user}
            own = [rows.c[column] == value for column, value in named.items() if column in rows.c]
            own += [rows.c.id == value for name, value in (("tenants", tenant), ("users", user)) if name == table_name]
            if own and table_name != "audit":
                shown = [column for column in rows.columns if column.name != "last_used_at"]
                found[table_name] = sorted(map(tuple, tx.execute(sa.select(*shown).where(sa.or_(*own)))), key=repr)
    return found


def test_the_picture_has_what_the_victim_has(db: Database, scenes: Scenes) -> None:
    seen = picture(db, scenes.victim)
    assert len(seen["guests"]) == 2
    assert all(
        seen[name] for name in ("tenants", "users", "members", "sessions", "operations", "allocations", "api_keys")
    )


def fill(path: str, ids: Mapping[str, str | tuple[str, ...]]) -> str:
    """The path with an id for each parameter, by the segment before it; without `/api`."""
    filled: list[str] = []
    for segment in path.removeprefix("/api").split("/"):
        given = ids[filled[-1]] if segment.startswith("{") else segment
        of_vm = filled[-3:-2] == ["vms"] and filled[-1].startswith("backup")
        filled.append(quote(given if isinstance(given, str) else given[-1 if of_vm else 0], safe="%"))
    return "/".join(filled)


def told(answer: TestResponse) -> tuple[int, str]:
    said = answer.get_json(silent=True)
    return answer.status_code, said.get("code", "") if isinstance(said, dict) else ""


def let_in(route: Route, answer: TestResponse) -> int:
    """The status of an answer that refuses nobody; of the victim's ids one is of a template that nobody may see."""
    if str(route) in table.OF_THE_HOST and answer.status_code == 503 and told(answer)[1].startswith("qemu."):
        return 503
    return 404 if "{template}" in route.path else 200


def send(caller: Caller, route: Route, scene: Scene) -> TestResponse:
    """The request as its example has it, on what is the scene's."""
    return caller.send(route.method.upper(), fill(route.path, scene.ids), route.body(scene.tenant["id"]))


# -- the tables are whole, and exemptions do not grow


def test_every_id_of_every_request_is_declared() -> None:
    for route in ROUTES:
        for field in route.fields:
            table.reference(field)
            if field.place == "path":
                assert field.steps[0] in table.PATHS, (route, field)


def test_an_id_that_nobody_declared_is_noticed() -> None:
    for steps in (("zone_id",), ("zones", "[]"), ("net", "source_bridges", "[]"), ("watch", "volume"), ("volid",)):
        with pytest.raises(LookupError):
            table.reference(Field("body", steps, {"type": "string"}))
    with pytest.raises(LookupError):
        table.reference(Field("query", ("whatever",), {"type": "string", "format": "uuid"}))
    with pytest.raises(LookupError):
        table.reference(Field("path", ("teapots",), {}))


def test_ids_are_found_and_set_wherever_they_stand() -> None:
    """Also in lists of objects, and behind references and alternatives."""
    schemas = {"Card": {"type": "object", "properties": {"bridge": {"type": "string"}}}}
    body = {
        "properties": {
            "cards": {"type": "array", "items": {"anyOf": [{"$ref": "#/components/schemas/Card"}, {"type": "null"}]}},
            "guests": {"type": "array", "items": {"type": "string"}},
            "note": {"type": "string"},
        }
    }
    operation = {"requestBody": {"content": {"application/json": {"schema": body}}}}
    found = [field for field in fields_of("/api/x", [], operation, schemas) if table.looks_like_an_id(field)]
    assert [field.steps for field in found] == [("cards", "[]", "bridge"), ("guests", "[]")]
    card = {"bridge": "vmbr0", "rate": 1}
    given: dict[str, Any] = {"cards": [card], "guests": ["own"], "note": "n"}
    assert with_value(given, found[0].steps, "x") == {**given, "cards": [card, {**card, "bridge": "x"}]}
    assert with_value(given, found[1].steps, "x")["guests"] == ["own", "x"]
    assert with_value({}, found[1].steps, "x", "mine") == {"guests": ["mine", "x"]}


def test_exemptions_may_only_shrink() -> None:
    """Each has a reason, and is still needed. Lower these numbers where you can; raising one is a decision."""
    assert len(table.EXEMPT) <= 9
    assert len(table.EXEMPT_FIELDS) <= 2
    assert len(table.PUBLIC) <= 4
    known = {str(route) for route in ROUTES}
    assert {*table.EXEMPT, *table.ADMINISTRATORS, *table.OPERATORS} <= known
    named = {field.names[-1] for route in ROUTES for field in route.fields if field.place != "path"}
    assert set(table.EXEMPT_FIELDS) <= named
    assert all([*table.EXEMPT.values(), *table.EXEMPT_FIELDS.values(), *table.PLAIN.values()])


# -- every operation by every kind of caller


@pytest.mark.parametrize("route", GUARDED, ids=str)
@pytest.mark.usefixtures("unharmed")
def test_who_is_not_logged_in_or_no_longer_is_401(scenes: Scenes, route: Route) -> None:
    """L1, L62, L63: anonymous, expired, logged out, disabled, and keys that have ended."""
    for kind, caller in scenes.nobodies.items():
        status, code = told(send(caller, route, scenes.victim))
        never = kind in ("anonymous", "nonsense", "unsigned token")
        assert (status, code) == (401, "auth.required" if never else "auth.expired"), kind


@pytest.mark.parametrize("route", OTHERS, ids=str)
@pytest.mark.usefixtures("unharmed")
def test_a_viewer_changes_nothing(scenes: Scenes, route: Route) -> None:
    """L18."""
    may = not route.writes and str(route) not in table.ADMINISTRATORS
    answer = send(scenes.roles["viewer"], route, scenes.victim)
    if may:
        assert answer.status_code == let_in(route, answer), answer.get_data(as_text=True)
    else:
        assert told(answer) == (403, "policy.forbidden")


@pytest.mark.parametrize("route", [route for route in OTHERS if route.writes], ids=str)
@pytest.mark.usefixtures("unharmed")
def test_an_operator_changes_guests_only_and_an_owner_not_the_house(scenes: Scenes, route: Route) -> None:
    """L18, L20."""
    if not table.may_be_operators(route):
        assert told(send(scenes.roles["operator"], route, scenes.victim)) == (403, "policy.forbidden")
    if str(route) in table.ADMINISTRATORS:
        assert told(send(scenes.roles["owner"], route, scenes.victim)) == (403, "policy.forbidden")


@pytest.mark.parametrize("route", OTHERS, ids=str)
@pytest.mark.usefixtures("unharmed")
def test_an_auditor_of_the_house_sees_all_and_changes_nothing(scenes: Scenes, route: Route) -> None:
    answer = send(scenes.roles["auditor"], route, scenes.victim)
    if route.writes:
        assert told(answer) == (403, "policy.forbidden")
    else:
        assert answer.status_code == let_in(route, answer)


@pytest.mark.parametrize("route", OTHERS, ids=str)
@pytest.mark.usefixtures("unharmed")
def test_the_owner_of_a_suspended_tenant_may_only_look(scenes: Scenes, route: Route) -> None:
    answer = send(scenes.suspended.owner, route, scenes.suspended)
    if str(route) in table.ADMINISTRATORS:
        assert answer.status_code == 403
    elif route.writes:
        assert told(answer) == (403, "tenant.suspended")
    elif str(route) in table.OF_THE_HOST:
        assert answer.status_code == let_in(route, answer)
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("route", [route for route in GUARDED if str(route) != "GET /api/auth/me"], ids=str)
@pytest.mark.usefixtures("unharmed")
def test_an_api_key_without_the_scope_is_refused(scenes: Scenes, route: Route) -> None:
    """L20: of two keys with one action each, at most one may be let in, and that only to look."""
    answers = {action: send(key, route, scenes.victim) for action, key in scenes.keys.items()}
    refused = [told(answer) for answer in answers.values() if told(answer)[1] in ("key.scope", "key.no_log_in")]
    assert {status for status, _ in refused} == {403}
    assert ("key.no_log_in" in {code for _, code in refused}) == (not route.takes_keys)
    if len(refused) < len(answers):
        (let_in,) = (answer for answer in answers.values() if answer.status_code != 403)
        assert not route.writes
        assert let_in.status_code == (404 if "{template}" in route.path else 200)


@pytest.mark.parametrize("route", [route for route in GUARDED if "{" not in route.path and not route.writes], ids=str)
def test_lists_hold_only_what_is_the_callers(scenes: Scenes, route: Route) -> None:
    """L17."""
    answer = scenes.stranger.owner.get(f"{route.path.removeprefix('/api')}")
    assert answer.status_code == (403 if str(route) in table.ADMINISTRATORS else let_in(route, answer))
    shown = answer.get_data(as_text=True)
    assert [name for name in scenes.victim.names if name in shown] == []


# -- every id swapped


Sender = Callable[[Any], TestResponse]


def senders(route: Route, field: Field, scenes: Scenes) -> Iterator[Sender]:
    """The stranger's request on what is his own, but for one id."""
    own, caller, method = scenes.stranger, scenes.stranger.owner, route.method.upper()
    if field.place == "path":
        at = field.steps[0]
        yield lambda value: _sent(caller, method, fill(route.path, {**own.ids, at: value}), route.body())
        if len(route.places("path")) > 1:
            foreign = {**scenes.victim.ids}
            yield lambda value: _sent(caller, method, fill(route.path, {**foreign, at: value}), route.body())
    elif field.place == "query":
        path = fill(route.path, own.ids)
        yield lambda value: _sent(caller, method, f"{path}?{urlencode({field.steps[0]: value})}", route.body())
    else:
        known = table.reference(field)
        beside, mine = (known.instead_of, known.own) if known is not None else ((), None)
        body = {name: value for name, value in (route.body() or {}).items() if name not in beside}
        path = fill(route.path, own.ids)
        yield lambda value: _sent(caller, method, path, with_value(body, field.steps, value, mine))


def _sent(caller: Caller, method: str, path: str, body: Any) -> TestResponse:
    return caller.send(method, path, body, X_Request_Id=_SAME_ID)


def plainly(answer: TestResponse, value: Any) -> tuple[int, str, list[tuple[str, str]]]:
    """All that an answer says, but for the id that was asked about."""
    text = answer.get_data(as_text=True)
    for spelling in {str(value), quote(str(value)), json.dumps(value)[1:-1] or str(value)}:
        # whole words only: a rule's position is a digit, which other ids have in them
        text = re.sub(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", "<id>", text)
    headers = [(name, said) for name, said in answer.headers if name not in ("Content-Length", "Date")]
    return answer.status_code, text, headers


def is_refusal(route: Route, field: Field, answer: TestResponse) -> bool:
    """It was this id that was refused; a filter by what is not there finds nothing."""
    said = answer.get_json()
    if answer.status_code == 403:
        return str(route) in table.ADMINISTRATORS
    if answer.status_code == 422:
        return field.steps[0] in said["errors"]
    if answer.status_code == 200:
        return field.place == "query" and said["data"] == []
    return answer.status_code == 404


def swapped() -> Iterator[tuple[Route, list[Field]]]:
    for route in OTHERS + [route for route in ROUTES if str(route) in table.OWN]:
        fields = [field for field in route.fields if table.looks_like_an_id(field)]
        if fields:
            yield route, fields


SWAPPED = list(swapped())


@pytest.mark.parametrize(("route", "fields"), SWAPPED, ids=[str(route) for route, _ in SWAPPED])
@pytest.mark.usefixtures("unharmed")
def test_foreign_and_missing_look_the_same(scenes: Scenes, route: Route, fields: Sequence[Field]) -> None:
    """L3, L4, L5, L6, L8: byte for byte, in path, query and body, nested and in lists."""
    for field in fields:
        known = table.reference(field)
        for foreign, missing in known.pairs(scenes) if known is not None else ():
            for send_with in senders(route, field, scenes):
                answers = send_with(foreign), send_with(missing)
                assert plainly(answers[0], foreign) == plainly(answers[1], missing), (str(field), foreign)
                assert is_refusal(route, field, answers[0]), (str(field), foreign, answers[0].get_data(as_text=True))


@pytest.mark.parametrize(("route", "fields"), SWAPPED, ids=[str(route) for route, _ in SWAPPED])
@pytest.mark.usefixtures("unharmed")
def test_malformed_ids_are_refused(scenes: Scenes, route: Route, fields: Sequence[Field]) -> None:
    """L77, L102: never 500, and never towards PVE."""
    for field in fields:
        if field.names[-1] in table.PLAIN or ".".join(field.names) in table.PLAIN:
            continue
        for bad in table.MALFORMED_IN_BODIES if field.place == "body" else table.MALFORMED:
            for send_with in senders(route, field, scenes):
                answer = send_with(bad)
                assert answer.status_code in (*REFUSED, 405), (str(field), bad, answer.get_data(as_text=True))


# -- what is told only here


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("cts", "template", "local:vztmpl/no-such.tar.zst"),
        ("cts", "template", "local-lvm:vm-100-disk-0"),
        ("cts", "template", "/etc/passwd"),
        ("cts", "storage", "no-such"),
        ("cts", "net", {"bridge": "vmbr1"}),
        ("vms", "iso", "local:iso/../../etc/passwd"),
        ("vms", "template", "9000"),
    ],
)
@pytest.mark.usefixtures("unharmed")
def test_what_is_not_granted_is_refused_with_its_field(scenes: Scenes, kind: str, field: str, value: Any) -> None:
    """L4, L7, L14."""
    body = container() if kind == "cts" else vm()
    answer = scenes.stranger.owner.post(f"/proxmox/{kind}", {**body, field: value})
    assert answer.status_code == 422, answer.get_data(as_text=True)
    assert field in answer.get_json()["errors"]


def test_a_foreign_pool_in_a_query_looks_missing(scenes: Scenes) -> None:
    for value in (scenes.victim.tenant["poolid"], "no-such-one"):
        assert scenes.stranger.owner.get(f"/proxmox/cts?poolid={value}").status_code == 404
