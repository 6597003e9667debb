"""Every operation of the OpenAPI document does what it says with the examples that it shows, on the seed of `make run`.

One pass over one house, in an order in which each finds what the others made: what all need, what is made, what is done
with it, then what is deleted. Bodies and parameters are sent as they stand in the document; who reads it in Swagger UI
sends the same. What is new in the document is in the pass by itself.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from app.api.openapi import document, document_app
from tests.house import ADMIN_PASSWORD, Caller, House, iso, wait_for
from tests.lab.process import LabProcess

OCTETS = "application/octet-stream"

#: What a text cannot say, by operation: members of the body that only an answer tells. This table may only shrink.
TOLD: Mapping[str, Callable[[Pass], Mapping[str, str]]] = {
    "POST /api/auth/login": lambda one: {"password": ADMIN_PASSWORD},
    "POST /api/auth/refresh": lambda one: {"refresh_token": one.log_in()["refresh_token"]},
    "POST /api/auth/change-password": lambda one: {"current_password": one.password},
}

#: What does not succeed, by operation: the code of its answer, and why that is so. This table may only shrink.
REFUSED: Mapping[str, tuple[str, str]] = {
    "POST /api/proxmox/cts/{guest}/credentials": ("guest.unsupported", "PVE cannot do it; its description says so"),
    "POST /api/proxmox/cts/{guest}/reset": ("guest.unsupported", "the same"),
    "POST /api/proxmox/cts/{guest}/suspend": ("guest.unsupported", "the same"),
    "POST /api/proxmox/cts/{guest}/resume": ("guest.unsupported", "the same"),
    "POST /api/operations/{operation}/cancel": ("operation.not_cancellable", "all have ended; tests/operations"),
    "POST /api/operations/{operation}/resolve": ("operation.not_stuck", "and none was stuck; tests/operations"),
}

#: What is not sent at all, and why. This table may only shrink.
ELSEWHERE: Mapping[str, str] = {
    "POST /api/proxmox/storages/{storage}/download-url": "fetches from the internet; tests/proxmox/test_downloads.py",
    "POST /api/drift/{drift}/adopt": "nothing drifts by what the examples do; tests/guests/test_drift.py",
    "POST /api/drift/{drift}/forget": "the same",
    "POST /api/drift/{drift}/repair": "the same",
}

#: What a file has to be, where it is looked at.
FILES: Mapping[str, bytes] = {"POST /api/qemu/images": iso()}
#: What answers 503 where this host has no libvirt.
OF_THE_HOST = frozenset({"GET /api/qemu/host", "GET /api/qemu/bridges", "GET /api/qemu/interfaces"})
#: Who uses them has a home tenant; all else the administrator can do.
OF_MEMBERS = frozenset({"POST /api/auth/change-password", "POST /api/provisioning/deploy"})

FIRST = (
    "POST /api/users",
    "POST /api/tenants",
    "POST /api/tenants/{tenant}/members",
    "POST /api/proxmox/vms",
    "POST /api/proxmox/cts",
)
#: When nothing hangs on the guest any more.
AFTER_ITS_PARTS = ("rebuild", "template")
#: What goes with its tenant, though its path names none.
OF_A_TENANT = ("{image}",)
#: The turn of what a tenant's end comes with.
LAST = (5, 0)
#: What a guest has to be for it.
RUNNING = ("stop", "reboot", "restart", "reset", "suspend")
STOPPED = ("rebuild", "template", "clone", "move", "{guest}")


@dataclass(frozen=True)
class Route:
    """`number` is its place in the document."""

    number: int
    method: str
    path: str
    parameters: Sequence[Mapping[str, Any]]
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def last(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def names(self) -> Sequence[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def queries(self) -> list[dict[str, str]]:
        """What is to be sent as its query, one after another: of what is only read, each parameter by itself."""
        told = {
            one["name"]: one["schema"].get("enum", one["schema"].get("examples", []))
            for one in self.parameters
            if one["in"] == "query"
        }
        if self.method == "GET":
            return [{}, *({name: value} for name, values in told.items() for value in values)]
        return [{name: values[0] for name, values in told.items() if values}] if OCTETS in self.body else [{}]

    @property
    def kind(self) -> str | None:
        """Of the guest that it is about."""
        if not {"guest", "vmid"} & set(self.names):
            return None
        return "cts" if "/cts/" in self.path else "vms"

    @property
    def turn(self) -> tuple[int, int]:
        if str(self) in FIRST:
            return 0, FIRST.index(str(self))
        if self.method == "POST" and not self.names:
            return 1, self.number
        if self.kind and self.last in AFTER_ITS_PARTS:
            return 4, AFTER_ITS_PARTS.index(self.last)
        if self.method != "DELETE":
            return 2, self.number
        of_a_tenant = len(self.names) > 1 or self.last in OF_A_TENANT
        return (3, -self.number) if of_a_tenant else (5, self.number)


def routes() -> list[Route]:
    found = [
        (method.upper(), path, [*shared.get("parameters", []), *operation.get("parameters", [])], operation)
        for path, shared in document(document_app())["paths"].items()
        for method, operation in shared.items()
        if method != "parameters"
    ]
    return [
        Route(number, method, path, parameters, operation.get("requestBody", {}).get("content", {}))
        for number, (method, path, parameters, operation) in enumerate(found)
    ]


@dataclass
class Pass:
    """`made` are ids by the name of the parameter that they are in paths, as answers told them."""

    house: House
    admin: Caller
    password: str = ""
    made: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)

    def log_in(self) -> dict[str, Any]:
        body = {"username": "admin", "password": ADMIN_PASSWORD}
        found: dict[str, Any] = self.house.anonymous().post("/auth/login", body).get_json()
        return found

    def caller(self, route: Route) -> Caller:
        if str(route) == "POST /api/auth/logout":
            return Caller(self.house.app.test_client(), self.log_in()["access_token"])
        return self.house.login("maria", self.password) if str(route) in OF_MEMBERS else self.admin

    def send(self, route: Route, query: Mapping[str, str]) -> TestResponse:
        path = re.sub(r"{(\w+)}", lambda name: self.value(route, name[1]), route.path).removeprefix("/api")
        body: Any = (
            FILES.get(str(route), b"an image")
            if OCTETS in route.body
            else route.body.get("application/json", {}).get("example")
        )
        if str(route) in TOLD:
            body = {**body, **TOLD[str(route)](self)}
        return self.caller(route).send(route.method, f"{path}?{urlencode(query)}", body, wait=60)

    def value(self, route: Route, name: str) -> str:
        """The example, or where there is none what an answer told last. What is deleted is what was made last."""
        parameter = next(one for one in route.parameters if (one["in"], one["name"]) == ("path", name))
        is_deleted = route.method == "DELETE" and route.last == f"{{{name}}}"
        if "example" in parameter and not (is_deleted and self.made[name]):
            return str(parameter["example"])
        assert self.made[name], f"nothing that was made is a {name}: {route}"
        return self.made[name].pop() if is_deleted else self.made[name][-1]

    def get_ready(self, route: Route) -> None:
        """As who reads the document would: a guest that has to run is started."""
        if str(route) == "DELETE /api/tenants/{tenant}":
            rows = [
                row["id"] for kind in ("vms", "cts") for row in self.admin.get(f"/proxmox/{kind}").get_json()["data"]
            ]
            wish = {"action": "delete", "guests": rows, "force": True}
            assert not self.settle(self.admin.post("/proxmox/guests/actions", wish))
        elif route.kind and route.method in ("POST", "DELETE") and route.last in RUNNING + STOPPED:
            guest = f"/proxmox/{route.kind}/{self.value(route, route.names[0])}"
            runs = self.admin.get(guest).get_json()["state"] == "running"
            if route.last in RUNNING and not runs:
                self.admin.done("POST", f"{guest}/start")
            if route.last in STOPPED and runs:
                self.admin.done("POST", f"{guest}/stop", {"force": True})

    def settle(self, answer: TestResponse, *, reads: bool = False) -> str:
        """Wait for all operations that an answer tells of. What went wrong, or nothing."""
        if answer.status_code >= 300:
            return answer.get_data(as_text=True)
        for operation in () if reads else operations_in(answer.get_json(silent=True)):
            self.made["operation"].append(operation)
            ended = self.end_of(operation)
            self.made["upid"] += [step["upid"] for step in ended["steps"] if step["upid"]]
            if ended["state"] != "succeeded":
                return f"{ended['state']}: {ended['error']}"
            self.note(ended["result"] or {})
        return ""

    def end_of(self, operation: str) -> dict[str, Any]:
        def ended() -> Any:
            found = self.admin.get(f"/operations/{operation}").get_json()
            return found if found["state"] in ("succeeded", "failed", "stuck", "cancelled") else None

        found: dict[str, Any] = wait_for(ended, within=60)
        return found

    def note(self, result: Mapping[str, Any]) -> None:
        if "backup" in result:
            self.made["backup"].append(result["backup"]["id"])
        if "tenant" in result:
            self.made["poolid"].append(result["tenant"]["poolid"])

    def learn(self, route: Route, answer: TestResponse) -> None:
        """The ids of what was made, under the names that paths have for them."""
        told: Any = answer.get_json(silent=True)
        if answer.status_code == 201 and "id" in told:
            kinds = {"api-keys": "key", "images": "image", "backup-schedules": "schedule", "templates": "template"}
            self.made[kinds.get(route.last, route.last)].append(told["id"])
        if str(route) == "POST /api/templates/import":
            self.made["template"] += [one["id"] for one in told["data"]]
        if str(route) == "POST /api/provisioning/deploy":
            self.made["vmid"].append(str(told["vmid"]))
        if str(route) == "POST /api/users":
            self.password = told["password"]
        if str(route) == "POST /api/auth/change-password":
            self.password = route.body["application/json"]["example"]["new_password"]

    def beside(self) -> Pass:
        """With what was made until now, and nothing of what others make meanwhile."""
        return Pass(self.house, self.house.admin(), self.password, copy.deepcopy(self.made), self.failures)

    def run(self, sent: Iterable[Route]) -> None:
        for route in sent:
            try:
                self.run_one(route)
            except AssertionError as error:
                self.failures.append(f"{route}: {error}")

    def run_one(self, route: Route) -> None:
        self.get_ready(route)
        for query in route.queries:
            answer = self.send(route, query)
            if str(route) in OF_THE_HOST and answer.status_code == 503:
                wrong = "" if answer.get_json()["code"].startswith("qemu.") else answer.get_data(as_text=True)
            elif str(route) in REFUSED:
                code, _ = REFUSED[str(route)]
                wrong = "" if answer.get_json().get("code") == code else f"not {code}: {answer.get_json()}"
            elif not (wrong := self.settle(answer, reads=route.method == "GET")):
                self.learn(route, answer)
            if wrong:
                self.failures.append(f"{route} {query or ''}: {wrong}")


def operations_in(told: Any) -> Iterator[str]:
    """The ids of operations, wherever an answer has them."""
    if isinstance(told, list):
        for one in told:
            yield from operations_in(one)
    if isinstance(told, dict):
        if {"steps", "queue_position"} <= told.keys():
            yield told["id"]
        elif set(told.get("operation") or ()) == {"id", "state"}:
            yield told["operation"]["id"]
        else:
            yield from operations_in(list(told.values()))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Of its own: with numbers and names that nobody had before."""
    lab = LabProcess.start(state="demo", time_scale=0)
    house = House.start(tmp_path_factory.mktemp("house"), lab)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


def test_every_example_runs(house: House) -> None:
    """VMs and containers beside each other: most of the time goes by with waiting."""
    one = Pass(house, house.admin())
    sent = sorted((route for route in routes() if str(route) not in ELSEWHERE), key=lambda route: route.turn)
    one.run(route for route in sent if route.kind is None and route.turn < LAST)
    with ThreadPoolExecutor() as beside:
        passes = [
            beside.submit(one.beside().run, [route for route in sent if route.kind == kind]) for kind in ("vms", "cts")
        ]
    for each in passes:
        each.result()
    one.run(route for route in sent if route.kind is None and route.turn >= LAST)
    assert not one.failures, "\n".join(one.failures)


def test_what_is_excused_is_in_the_document() -> None:
    excused = {*TOLD, *REFUSED, *ELSEWHERE, *OF_THE_HOST, *FILES, *OF_MEMBERS, *FIRST}
    assert sorted(excused - {str(route) for route in routes()}) == []


def test_what_stands_in_a_path_has_an_example_or_is_told_by_an_answer() -> None:
    """And is in the pass as it stands: this set may only shrink."""
    without = {
        one["name"] for route in routes() for one in route.parameters if one["in"] == "path" and "example" not in one
    }
    assert without == {"backup", "drift", "key", "operation", "poolid", "schedule", "upid"}
