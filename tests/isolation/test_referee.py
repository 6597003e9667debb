"""PVE is the second referee: it sees who calls, and refuses what we should have refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.domain.access import EVERY_TENANT
from app.policy import rules
from tests.house import Caller, House, container, vm, wait_for
from tests.isolation.document import Route, routes
from tests.isolation.table import ADMINISTRATORS, OF_THE_HOST, PUBLIC

ADMINISTRATOR = "root@pam!poolhouse"
ROUTES = routes()
#: What only an administrator may do to guests he does with his own identity: tenants have no right to it in PVE.
ADMINISTRATION = re.compile(r"/api/proxmox/(vms|cts)/\{guest\}/migrate$")
#: What an administrator begins in PVE for tenants; it goes on after the answer.
WALLS = frozenset({"POST /api/tenants", "DELETE /api/tenants/{tenant}", "POST /api/proxmox/security-groups"})
ON_GUESTS = [
    route for route in ROUTES
    if re.match(r"/api/(proxmox/(vms|cts|guests)|deployments|provisioning)\b", route.path)
    and not ADMINISTRATION.match(route.path)
]  # fmt: skip
ON_ONE_GUEST = [route for route in ON_GUESTS if "{guest}" in route.path or "{vmid}" in route.path]
ELSEWHERE = [
    route for route in ROUTES
    if route not in ON_GUESTS and not ADMINISTRATION.match(route.path)
    and str(route) not in {*PUBLIC, *WALLS}
]  # fmt: skip

#: What the administrator's identity is for, by `app/sagas/credentials.py`: walls and moves between pools are written,
#: tasks and inventory are read.
ADMINISTRATOR_WRITES = re.compile(r"/(access/|pools)")
ADMINISTRATOR_READS = re.compile(
    r"/(access/|pools|version|cluster/|nodes$|nodes/[^/]+/(tasks|storage|status|network|version|services)|nodes/[^/]+/(lxc|qemu)/\d+/config$)"
)
#: An undo looks which snapshots there are also where the tenant's identity may see nothing of the guest any more.
UNDO_READS = re.compile(r"/nodes/[^/]+/(lxc|qemu)/\d+/snapshot(/[^/]+/config)?$")
#: These need a guest that runs; all others are tried on one that does not.
OF_A_RUNNING_ONE = re.compile(r"/(stop|reboot|reset|suspend|resume)$")
OF_A_FROZEN_ONE = re.compile(r"/resume$")
OF_A_SNAPSHOT = re.compile(r"/snapshots/")
OF_A_DISK = re.compile(r"/disks/")
#: One that the guest does not boot from.
SECOND_DISK = {"cts": "mp0", "vms": "scsi1"}
#: These are answered from the inventory and cost PVE nothing.
FROM_INVENTORY = re.compile(
    r"/(vms|cts)(/\{guest\}(/snapshots|/backups|/backup-schedules(/\{schedule\})?)?)?$|/provisioning/resources(/\{vmid\}/snapshots)?$"
)
OF_A_BACKUP = re.compile(r"/backups/")
#: Rows of ours; what comes of them is asked of PVE when their moment comes.
OF_SCHEDULES = re.compile(r"/backup-schedules")
#: PVE has nothing like these for containers: 409, and nothing is sent.
NOT_FOR_CONTAINERS = re.compile(r"/cts/\{guest\}/(reset|suspend|resume|credentials)$")
#: These need a VM with a cloud-init drive, or as large a disk as the template's.
OF_A_TEMPLATE_S = re.compile(r"/vms/\{guest\}/(credentials|rebuild)$")
OF_A_RULE = re.compile(r"/rules/")
#: These name their guests in the body, and begin one operation for each.
OF_MANY = re.compile(r"/proxmox/guests/")
OF_MANY_THAT_ARE = re.compile(r"/proxmox/guests/actions$")


@pytest.fixture(scope="module")
def tenant(house: House) -> Iterator[dict[str, Any]]:
    with house.another_storage():
        yield house.make_tenant()


@pytest.fixture(scope="module")
def owner(house: House, tenant: dict[str, Any]) -> Caller:
    return house.make_member(tenant, "owner")


@pytest.fixture(scope="module")
def stranger(house: House) -> tuple[dict[str, Any], Caller]:
    own = house.make_tenant()
    return own, house.make_member(own, "owner")


@pytest.fixture(scope="module")
def empty(house: House) -> dict[str, Any]:
    """A tenant without guests, whose limits may be changed."""
    return house.make_tenant()


def token_of(tenant: Mapping[str, Any]) -> str:
    return f"{tenant['pve_user']}!poolhouse"


def kind_of(route: Route) -> str:
    return "cts" if "/cts" in route.path else "vms"


def body_of(route: Route) -> Any:
    if re.match(r"/api/proxmox/(vms|cts)$", route.path) and route.writes:
        return container() if kind_of(route) == "cts" else vm()
    if route.path.endswith("/move"):
        return {"storage": "vault"}
    if route.path.endswith("/vms/{guest}/rebuild"):
        return {"template": "debian-12-vm"}
    return route.body()


def make_guest(route: Route, owner: Caller) -> dict[str, Any]:
    """A guest in the state in which the route has something to do."""
    kind = kind_of(route)
    running = bool(OF_A_RUNNING_ONE.search(route.path))
    more = {"storage": "local-lvm", "start": running}
    if OF_A_TEMPLATE_S.search(route.path):
        more |= {"template": "debian-12-vm", "disk_gb": 2}
    body = container(**more) if kind == "cts" else vm(**more)
    made: dict[str, Any] = owner.done("POST", f"/proxmox/{kind}", body)["result"]["guest"]
    if OF_A_SNAPSHOT.search(route.path):
        owner.done("POST", f"/proxmox/{kind}/{made['id']}/snapshots", {"name": "before"})
    if OF_A_DISK.search(route.path):
        disk = {"size_gb": 1, "storage": "local-lvm"} | ({"path": "/srv/data"} if kind == "cts" else {})
        owner.done("POST", f"/proxmox/{kind}/{made['id']}/disks", disk)
    if OF_A_BACKUP.search(route.path):
        taken = owner.done("POST", f"/proxmox/{kind}/{made['id']}/backups")
        made["backup"] = taken["result"]["backup"]["id"]
    if OF_A_RULE.search(route.path):
        owner.done("POST", f"/proxmox/{kind}/{made['id']}/firewall/rules", {"type": "in", "action": "ACCEPT"})
    if OF_SCHEDULES.search(route.path):
        made["schedule"] = owner.post(f"/proxmox/{kind}/{made['id']}/backup-schedules", {"at": "02:30"}).get_json()[
            "id"
        ]
    if OF_A_FROZEN_ONE.search(route.path) and kind == "vms":
        owner.done("POST", f"/proxmox/{kind}/{made['id']}/suspend")
    return made


def assert_as_planned(plan: Mapping[str, Any], calls: list[dict[str, Any]]) -> None:
    """The dry run told each change that PVE was then asked for, and none that was not but those of which it said so."""
    assert plan["violations"] == []
    told = {(call["method"], anywhere(call["path"])): call["certain"] for call in plan["calls"]}
    made = {(call["method"], anywhere(bare(call))) for call in calls if call["method"] != "GET"}
    assert made <= told.keys()
    assert {call for call, certain in told.items() if certain} <= made


def anywhere(path: str) -> str:
    """But for the node and the number, of which a new guest may get others."""
    return re.sub(r"/nodes/[^/]+", "/nodes/n", re.sub(r"/\d{3,}(?=/|$)", "/vmid", path))


def send(
    route: Route, caller: Caller, guest: Mapping[str, Any] | None, *, dry_run: bool = False, **named: Any
) -> TestResponse:
    path = route.path.removeprefix("/api") + ("?dry_run=true" if dry_run else "")
    if guest is not None:
        named_in_path = {
            "{guest}": guest["id"],
            "{vmid}": str(guest["vmid"]),
            "{snapshot}": "before",
            "{disk}": SECOND_DISK[kind_of(route)],
        }
        named_in_path |= {"{backup}": guest.get("backup", ""), "{schedule}": guest.get("schedule", ""), "{pos}": "0"}
        for parameter, value in named_in_path.items():
            path = path.replace(parameter, value)
        if OF_MANY_THAT_ARE.search(route.path):
            named |= {"guests": [guest["id"]]}
    body = body_of(route)
    return caller.send(route.method.upper(), path, {**body, **named} if body is not None else None, wait=60)


def ends(caller: Caller, answer: TestResponse) -> list[str]:
    """How the operations of many guests ended, and with which code those that did not succeed."""

    def end(operation: str) -> str | None:
        told = caller.get(f"/operations/{operation}").get_json()
        if told["state"] not in ("succeeded", "failed"):
            return None
        return str(told["error"]["code"] if told["error"] else told["state"])

    begun = [item.get("operation", item)["id"] for item in answer.get_json()["data"]]
    return [wait_for(lambda one=one: end(one), within=60) for one in begun]


def misused(calls: list[dict[str, Any]], *, undone: bool = False) -> list[dict[str, Any]]:
    """What the administrator's identity did and is not for; `undone`: work that was refused and undone is among it."""
    found = []
    for call in calls:
        allowed = ADMINISTRATOR_READS if call["method"] == "GET" else ADMINISTRATOR_WRITES
        looked = undone and call["method"] == "GET" and UNDO_READS.match(bare(call))
        if call["user"] == ADMINISTRATOR and not allowed.match(bare(call)) and not looked:
            found.append(call)
    return found


def bare(call: Mapping[str, Any]) -> str:
    return str(call["path"]).partition("?")[0].removeprefix("/api2/json")


@pytest.mark.parametrize("route", ON_GUESTS, ids=str)
def test_work_on_guests_is_done_with_the_tenant_s_own_token(
    house: House, tenant: dict[str, Any], owner: Caller, route: Route
) -> None:
    """L11: proven from the log of the calls that arrived."""
    of_one = route in ON_ONE_GUEST or OF_MANY_THAT_ARE.search(route.path)
    guest = make_guest(route, owner) if of_one else None
    plan = send(route, owner, guest, dry_run=True).get_json() if route.writes else {}
    mark = house.pve.mark()
    answer = send(route, owner, guest)
    if NOT_FOR_CONTAINERS.search(route.path):
        assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.unsupported")
        assert house.pve.writes(mark) == []
        return
    assert answer.status_code in (200, 201, 204), answer.get_data(as_text=True)
    if OF_MANY.search(route.path):
        assert set(ends(owner, answer)) == {"succeeded"}
    calls = house.pve.calls(mark)
    assert misused(calls) == []
    assert {call["user"] for call in calls} <= {ADMINISTRATOR, token_of(tenant)}
    if route.writes:
        assert_as_planned(plan, calls)
    as_tenant = [call for call in calls if call["user"] == token_of(tenant) and "/nodes/" in call["path"]]
    if route.writes and not OF_SCHEDULES.search(route.path):
        assert [call for call in as_tenant if call["method"] != "GET"]
    elif not FROM_INVENTORY.search(route.path):
        assert as_tenant


def test_what_the_log_is_searched_for_is_found() -> None:
    def call(method: str, path: str, user: str = ADMINISTRATOR) -> dict[str, Any]:
        return {"method": method, "path": path, "user": user}

    harmless = [
        call("PUT", "/access/acl"), call("GET", "/nodes/n1/lxc/100/config"), call("GET", "/cluster/resources"),
        call("POST", "/nodes/n1/lxc", "team@pve!poolhouse"),
    ]  # fmt: skip
    harmful = [
        call("POST", "/nodes/n1/lxc"), call("DELETE", "/nodes/n1/qemu/100"), call("PUT", "/nodes/n1/lxc/100/config"),
        call("GET", "/nodes/n1/lxc/100/status/current"), call("POST", "/nodes/n1/lxc/100/status/stop"),
    ]  # fmt: skip
    assert misused([*harmless, *harmful]) == harmful


def test_a_tenant_s_walls_are_the_administrator_s_and_its_guests_are_not(house: House) -> None:
    mark = house.pve.mark()
    tenant = house.make_tenant()
    house.make_member(tenant).done("POST", "/proxmox/cts", container())
    house.admin().done("DELETE", f"/tenants/{tenant['id']}?cascade=true")
    calls = house.pve.calls(mark)
    assert misused(calls) == []
    writers = {call["user"] for call in calls if call["method"] != "GET" and "/nodes/" in call["path"]}
    assert writers == {token_of(tenant)}
    assert any(call["user"] == ADMINISTRATOR and call["method"] != "GET" for call in calls)


def test_what_pve_refuses_the_tenant_is_not_done_as_the_administrator(house: House) -> None:
    """The tenant's rights were taken away behind our back: even its end waits until somebody has looked."""
    tenant = house.make_tenant()
    guest = house.make_member(tenant).done("POST", "/proxmox/cts", container())["result"]["guest"]
    right = {"path": f"/pool/{tenant['poolid']}", "roles": "PoolhouseGuest", "tokens": token_of(tenant)}
    house.pve.put("/access/acl", delete=1, **right)
    mark = house.pve.mark()
    answer = house.admin().delete(f"/tenants/{tenant['id']}?cascade=true", wait=60)
    assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.refused"), answer.get_data(as_text=True)
    assert misused(house.pve.calls(mark)) == []
    assert house.pve.members(tenant["poolid"]) == {guest["vmid"]}
    house.pve.put("/access/acl", **right)
    house.admin().done("DELETE", f"/tenants/{tenant['id']}?cascade=true")


@pytest.mark.parametrize("route", ELSEWHERE, ids=str)
def test_what_is_no_work_on_guests_writes_nothing_to_pve(house: House, empty: dict[str, Any], route: Route) -> None:
    """Whatever it answers to somebody who may."""
    member = house.make_member(empty, "owner")
    me = member.get("/auth/me").get_json()["id"]
    ids = {"tenant": empty["id"], "user": me}
    path = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], me), route.path.removeprefix("/api"))
    caller = house.admin() if str(route) in ADMINISTRATORS else member
    mark = house.pve.mark()
    status = caller.send(route.method.upper(), path, route.body(empty["id"])).status_code
    assert status < 500 or (status == 503 and str(route) in OF_THE_HOST)
    assert house.pve.writes(mark) == []


def test_what_administrators_do_alone_is_what_no_tenant_may() -> None:
    alone = {str(route) for route in ROUTES if ADMINISTRATION.match(route.path)}
    assert alone
    assert alone <= ADMINISTRATORS


# -- sabotage: our own check is gone


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The application without its own lock: everybody sees every tenant and may do everything."""
    with monkeypatch.context() as patch:
        patch.setattr(rules, "visible", lambda ctx: EVERY_TENANT)
        patch.setattr(rules, "require", lambda ctx, privilege, on=None: None)
        yield


def as_pve_has_it(house: House, vmid: int) -> str:
    """The guest with its state, config and pool, but for what passes with time."""
    (row,) = (guest for guest in house.pve.guests() if guest["vmid"] == vmid)
    kind = "lxc" if row["type"] == "lxc" else "qemu"
    config = house.pve.get(f"/nodes/{row['node']}/{kind}/{vmid}/config")
    kept = {name: row.get(name) for name in ("vmid", "name", "node", "pool", "status", "maxmem", "maxcpu", "maxdisk")}
    return json.dumps([kept, config], sort_keys=True)


@pytest.mark.parametrize(
    "route",
    [
        route
        for route in ON_ONE_GUEST
        if (route.writes or not (FROM_INVENTORY.search(route.path) or OF_A_BACKUP.search(route.path)))
        and not (NOT_FOR_CONTAINERS.search(route.path) or OF_SCHEDULES.search(route.path))
    ],
    ids=str,
)
def test_l11_without_our_check_pve_still_refuses_to_touch_a_foreign_guest(
    house: House,
    request: pytest.FixtureRequest,
    tenant: dict[str, Any],
    owner: Caller,
    stranger: tuple[dict[str, Any], Caller],
    route: Route,
) -> None:
    guest = make_guest(route, owner)
    was, mark = as_pve_has_it(house, guest["vmid"]), house.pve.mark()
    assert send(route, stranger[1], guest).status_code == 404
    request.getfixturevalue("unguarded")
    answer = send(route, stranger[1], guest, **({"force": True} if route.path.endswith("/stop") else {}))
    assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.refused"), answer.get_data(as_text=True)
    calls = house.pve.calls(mark)
    assert [call["status"] for call in calls if call["user"] == token_of(stranger[0])].count(403) >= 1
    assert {call["user"] for call in calls} <= {ADMINISTRATOR, token_of(stranger[0])}
    assert misused(calls, undone=True) == []
    assert as_pve_has_it(house, guest["vmid"]) == was


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/proxmox/cts", container()),
        ("/proxmox/vms", vm()),
        ("/deployments", {"name": "web", "template_id": "debian-12"}),
        ("/proxmox/guests/batch", {"name": "web-{n}", "count": 2, "spec": {"template_id": "debian-12"}}),
    ],
    ids=["cts", "vms", "deployments", "batch"],
)
@pytest.mark.usefixtures("unguarded")
def test_l11_without_our_check_pve_still_refuses_a_guest_in_a_foreign_pool(
    house: House, tenant: dict[str, Any], stranger: tuple[dict[str, Any], Caller], path: str, body: dict[str, Any]
) -> None:
    members, mark = house.pve.members(tenant["poolid"]), house.pve.mark()
    answer = stranger[1].post(path, {**body, "tenant": tenant["id"]}, wait=60)
    if OF_MANY.search(path):
        assert ends(stranger[1], answer) == ["pve.refused"] * 2
    else:
        assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.refused"), answer.get_data(as_text=True)
    assert house.pve.members(tenant["poolid"]) == members
    assert {call["user"] for call in house.pve.writes(mark)} == {token_of(stranger[0])}


def test_l11_without_our_check_pve_still_refuses_to_touch_one_of_many(
    house: House,
    request: pytest.FixtureRequest,
    tenant: dict[str, Any],
    owner: Caller,
    stranger: tuple[dict[str, Any], Caller],
) -> None:
    guest = owner.done("POST", "/proxmox/cts", container(start=False))["result"]["guest"]
    was, body = as_pve_has_it(house, guest["vmid"]), {"action": "start", "guests": [guest["id"]]}
    request.getfixturevalue("unguarded")
    assert ends(stranger[1], stranger[1].post("/proxmox/guests/actions", body)) == ["pve.refused"]
    assert as_pve_has_it(house, guest["vmid"]) == was


@pytest.mark.usefixtures("unguarded")
def test_the_sabotage_takes_away_our_check_and_nothing_else(house: House, owner: Caller) -> None:
    """Else the tests above would prove nothing: whose guest it is can still work on it."""
    guest = owner.done("POST", "/proxmox/cts", container())["result"]["guest"]
    assert owner.done("POST", f"/proxmox/cts/{guest['id']}/start")["state"] == "succeeded"
    assert house.make_member(house.make_tenant()).get(f"/proxmox/cts/{guest['id']}").status_code == 200
